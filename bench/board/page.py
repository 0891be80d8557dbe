"""`bench leaderboard`: the entries of a folder as one static page, and the check that all follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from bench.board.derive import Line, numbers, tables
from bench.board.entry import CLEAN, FIRST, Entry, read
from bench.errors import StoreError
from bench.store.flags import FLAGS
from bench.store.parts.files import read as read_file
from bench.store.where import SETTING, Where
from bench.visible import visible

ENTRIES, PAGE = "entries", "index.html"
#: stands in every page that was ever written here; one without it is somebody else's
MARK = b"<title>Leaderboard: adversarial robustness on long-tailed data</title>"
#: filter -> what it is called
FILTERS = {"data": "Data", "ratio": "Ratio", "network": "Network", "extra": "Extra data", "enhancers": "Enhancers"}


def load(folder: Path) -> list[Entry]:
    """The entries of a leaderboard folder, by file name. Raises StoreError when there is none or one is not sound."""
    paths = sorted((folder / ENTRIES).glob("*.json"))
    if not paths:
        raise StoreError(f"{folder / ENTRIES} holds no entry; make one with `bench submit CELL --to {folder}`.")
    return [read(path) for path in paths]


def html(entries: Sequence[Entry]) -> str:
    """The page; it needs no other file and no network."""
    loader = jinja2.FunctionLoader(_template)
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals |= {
        "asset": _template,
        "recalls": recalls,
        "facets": facets,
        "attacks": attacks,
        "unusual": unusual,
        "value": radius,
        "name": data_name,
        "flag": {flag.name: flag.text for flag in FLAGS},
    }
    made = tables(entries)
    found = {name: sorted({facets(line)[name] for t in made for line in t.lines}) for name in FILTERS}
    labels = {name: (FILTERS[name], values) for name, values in found.items()}
    return environment.get_template("board.html.j2").render(tables=made, filters=labels, first=FIRST, clean=CLEAN)


def facets(line: Line) -> dict[str, str]:
    """What the filters ask of an entry."""
    place = line.entry.place
    return {
        "data": data_name(place),
        "ratio": place.ratio if place.natural else f"{place.ir:g}",
        "network": place.model,
        "extra": line.entry.extra_data or "none",
        "enhancers": "with" if line.entry.enhancers else "without",
    }


def unusual(where: Where) -> list[str]:
    """What of a table's images is not usual, in words; recipe and precision are the entries' own."""
    return [words for name, words in where.said().items() if name in SETTING and getattr(where, name)]


def radius(eps: float) -> str:
    """`8/255` where it is one of these, else its digits."""
    steps = round(255 * eps)
    return f"{steps}/255" if steps and abs(255 * eps - steps) < 1e-6 else f"{eps:.4g}"


def data_name(place: Where) -> str:
    """The data set, with its pixels where they are not its own."""
    return place.dataset if place.source == place.dataset else f"{place.dataset} ({place.source})"


def attacks(entry: Entry) -> list[str]:
    """Its attacks, the first one before the clean images and the rest."""
    rest = [label for label in entry.attacks if label not in (FIRST, CLEAN)]
    return [FIRST, CLEAN, *rest]


def recalls(entry: Entry, attack: str, position: int) -> list[str]:
    """Correct images of one class, of every run."""
    return [str(run.correct[attack][position]) for run in entry.runs]


def must_be_ours(page: Path) -> None:
    """Raises StoreError where there is a page that was not written here."""
    if page.exists() and MARK not in read_file(page):
        raise StoreError(f"{page} was not written by `bench leaderboard` and would be lost; move it away.")


def problems(folder: Path) -> tuple[list[str], str]:
    """Where numbers of a leaderboard folder do not follow from its counts: (a sentence each of entries, of the page).

    The page is asked only where all entries are sound. Raises StoreError where there is none, or the page is no file.
    """
    entries, found = [], []
    for path in sorted((folder / ENTRIES).glob("*.json")):
        try:
            entry = read(path)
        except StoreError as error:
            found.append(str(error))
            continue
        entries.append(entry)
        found += [f"{path.name}: {text}" for text in _moved(entry)]
    page = folder / PAGE
    if not entries and not found:
        raise StoreError(f"{folder / ENTRIES} holds no entry; make one with `bench submit CELL --to {folder}`.")
    if found or (page.exists() and read_file(page) == html(entries).encode()):
        return found, ""
    return [], f"{page} is not what the entries give; render it with `bench leaderboard {folder}`."


def _moved(entry: Entry) -> list[str]:
    """What an entry states that its counts do not give."""
    derived = numbers(entry)
    pairs = {(a, m) for some in (derived, entry.numbers) for a, values in some.items() for m in values}
    return [
        f"{attack} {metric} is stated as {stated}, and the counts give {given}."
        for attack, metric in sorted(pairs)
        if (stated := entry.numbers.get(attack, {}).get(metric)) != (given := derived.get(attack, {}).get(metric))
    ]


def _template(name: str) -> str:
    return files("bench.board").joinpath("templates", name).read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """Text of others cannot turn or hide its surroundings."""
    return visible(value) if type(value) is str else value
