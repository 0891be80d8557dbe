"""`bench submit`: an entry from the finished cells of one configuration, one a seed. Nothing is computed but counts."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.board.derive import numbers
from bench.board.entry import FORMAT, OWN, AttackFacts, Class, Entry, Run, complaint
from bench.config import canonical_json, cell_from_plain
from bench.errors import StoreError, UsageError
from bench.judge.verify import verify
from bench.registry import FOLDERS, registry
from bench.store import query
from bench.store.counts import Counts, of_rows
from bench.store.folders import read_done
from bench.store.rows import WORST, counted
from bench.store.schema import ROWS
from bench.store.where import FIELDS, Where


@dataclasses.dataclass(frozen=True)
class Said:
    """What the submitter says of an entry and no cell knows: paper, its address, code, data beyond the set."""

    paper: str = ""
    url: str = ""
    code: str = ""
    extra_data: str = ""


def build(folders: Sequence[Path], test_split: str, said: Said) -> Entry:
    """The entry of cells that differ in nothing but their seed, evaluated on one test split.

    Raises StoreError for a cell that is not done, not sound or not evaluated, UsageError where they do not belong
    together or what is said is impossible.
    """
    _sound(folders)
    cells = sorted(((read_done(f), f) for f in folders), key=lambda pair: pair[0]["spec"]["seed"])
    found = [_counts(cell, folder, test_split) for cell, folder in cells]
    places = [place for place, _ in found]
    for place, (cell, _) in zip(places, cells, strict=True):
        differ = places[0].differing(place, [n for n in FIELDS if n not in ("seed", "attack")])
        if differ:
            raise UsageError(f"{cell['id']} differs from {cells[0][0]['id']} in {differ[0]}; an entry has one of each.")
    shared = [label for label in found[0][1] if all(label in some for _, some in found)]
    first = next(iter(found[0][1].values()))
    columns = (first.index, np.array(first.names, object), first.train, first.n)
    runs = [
        Run(cell["spec"]["seed"], cell["id"], cell.get("weights") or "",
            {label: some[label].correct.tolist() for label in shared},
            {label: list(_facts(cell, test_split, label).get("flags", [])) for label in shared})
        for (cell, _), (_, some) in zip(cells, found, strict=True)
    ]  # fmt: skip
    facts = {label: _facts(cells[0][0], test_split, label) for label in shared}
    entry = Entry(
        FORMAT, {n: v for n, v in places[0].row().items() if n not in ("seed", "attack")}, places[0].natural,
        said.paper or _paper(cells[0][0]["spec"]["method"]), said.url, said.code or _own(cells[0][0]), said.extra_data,
        [Class(*c) for c in zip(*(some.tolist() for some in columns), strict=True)],
        {k: AttackFacts(f["engine"], f["norm"], f["eps"], f["params"], f["notes"]) for k, f in facts.items()},
        runs, {},
    )  # fmt: skip
    wrong = complaint(entry)
    if wrong:
        raise UsageError(
            f"{cells[0][0]['id']} makes no entry: {wrong}; evaluate it with `bench run --attacks clean,aa`."
        )
    entry.numbers = numbers(entry)
    return entry


def _sound(folders: Sequence[Path]) -> None:
    """Raises StoreError for the first cell that `bench verify` finds wrong."""
    chosen = {folder.name for folder in folders}
    for root in dict.fromkeys(folder.parent for folder in folders):
        report = verify(root)
        for problem in report.problems:
            if problem.cell in chosen:
                raise StoreError(f"{problem.cell} is not sound: {problem.message}")
        for name in chosen & set(report.busy):
            raise StoreError(f"a process works on {name}; submit it when it is done.")


def _counts(cell: dict[str, Any], folder: Path, test_split: str) -> tuple[Where, dict[str, Counts]]:
    """(coordinates, counts by attack) of one cell on a split; the worst case is no attack."""
    data = cell["data"]
    place = Where.of(
        cell_from_plain(cell["spec"]), source=data["source"], data_hash=data["data_hash"], test_split=test_split,
        train_counts=data["train_counts"], benchmark=cell["benchmark"],
    )  # fmt: skip
    rows = query.read_rows(folder / ROWS)
    rows = rows[(rows["test_split"] == test_split) & (rows["attack"] != WORST)].reset_index(drop=True)
    full = {
        k.partition("/")[2] for k, f in cell["evaluations"].items() if k.startswith(f"{test_split}/") and counted(f)
    }
    found = {str(rows["attack"].iloc[at]): counts for at, counts in of_rows(rows)}
    found = {label: counts for label, counts in found.items() if label in full}
    if not found:
        raise StoreError(f"{cell['id']} was not evaluated on the {test_split} test split; run `bench run` with it.")
    return dataclasses.replace(place, seed=None), found


def _facts(cell: dict[str, Any], test_split: str, label: str) -> dict[str, Any]:
    facts: dict[str, Any] = cell["evaluations"][f"{test_split}/{label}"]
    return facts


def _paper(method: str) -> str:
    """The paper that the method's class names, where it is known here."""
    return str(registry("methods").get(method).paper) if method in registry("methods").origins else ""


def _own(cell: dict[str, Any]) -> str:
    """Name and version of this project, for a method that it holds with all its enhancers; empty for any other."""
    spec, versions = cell["spec"], cell.get("versions", {})
    names = [("methods", spec["method"]), *(("enhancers", name) for name, _ in spec.get("enhancers", ()))]
    for kind, name in names:
        origin = registry(kind).origins.get(name)
        if origin is None or not origin.module.startswith(tuple(f"{p}." for p in FOLDERS[kind])):
            return ""
    return f"{OWN}{versions.get(OWN.strip(), '')}, commit {versions.get('git') or 'unknown'}"


def file_name(entry: Entry) -> str:
    """`taet-cifar10lt-ir10-resnet18-1f0c9a3b.json`: readable, and one for each configuration and split."""
    place = entry.place
    told = "-".join((place.method.replace("+", "-"), place.dataset, f"ir{place.ir:g}", place.model))
    digest = hashlib.sha256(canonical_json([entry.where, entry.extra_data]).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^a-z0-9.]+', '-', told.lower())[:80]}-{digest}.json"
