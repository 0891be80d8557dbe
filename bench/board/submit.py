"""`bench submit`: an entry from the finished cells of one configuration, one a seed. Nothing is computed but counts."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.board.derive import numbers
from bench.board.entry import FORMAT, OWN, AttackFacts, Class, Entry, Run, complaint
from bench.config import canonical_json
from bench.errors import StoreError, UsageError
from bench.judge.verify import verify
from bench.registry import FOLDERS, registry
from bench.store import query
from bench.store.counts import Counts, of_rows
from bench.store.folders import read_done
from bench.store.parts.record import CellRecord
from bench.store.rows import WORST
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
    cells = sorted(((read_done(f), f) for f in folders), key=lambda pair: pair[0].made.seed)
    found = [_counts(cell, folder, test_split) for cell, folder in cells]
    places = [place for place, _ in found]
    for place, (cell, _) in zip(places, cells, strict=True):
        differ = places[0].differing(place, [n for n in FIELDS if n not in ("seed", "attack")])
        if differ:
            raise UsageError(f"{cell.id} differs from {cells[0][0].id} in {differ[0]}; an entry has one of each.")
    shared = [label for label in found[0][1] if all(label in some for _, some in found)]
    first = next(iter(found[0][1].values()))
    columns = (first.index, np.array(first.names, object), first.train, first.n)
    runs = [
        Run(
            cell.made.seed,
            cell.id,
            cell.weights,
            {label: some[label].correct.tolist() for label in shared},
            {label: cell.on(test_split)[label].flags for label in shared},
        )
        for (cell, _), (_, some) in zip(cells, found, strict=True)
    ]
    facts = cells[0][0].on(test_split)
    entry = Entry(
        FORMAT,
        {n: v for n, v in places[0].row().items() if n not in ("seed", "attack")},
        places[0].natural,
        said.paper or _paper(cells[0][0].made.method),
        said.url,
        said.code or _own(cells[0][0]),
        said.extra_data,
        [Class(*c) for c in zip(*(some.tolist() for some in columns), strict=True)],
        {k: AttackFacts(f.engine, f.norm, f.eps, f.params, f.notes) for k in shared for f in [facts[k]]},
        runs,
        {},
    )
    wrong = complaint(entry)
    if wrong:
        raise UsageError(f"{cells[0][0].id} makes no entry: {wrong}; evaluate it with `bench run --attacks clean,aa`.")
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


def _counts(cell: CellRecord, folder: Path, test_split: str) -> tuple[Where, dict[str, Counts]]:
    """(coordinates, counts by attack) of one cell on a split; the worst case is no attack."""
    rows = query.read_rows(folder / ROWS)
    rows = rows[(rows["test_split"] == test_split) & (rows["attack"] != WORST)].reset_index(drop=True)
    full = cell.counted(test_split)
    found = {str(rows["attack"].iloc[at]): counts for at, counts in of_rows(rows)}
    found = {label: counts for label, counts in found.items() if label in full}
    if not found:
        raise StoreError(f"{cell.id} was not evaluated on the {test_split} test split; run `bench run` with it.")
    return dataclasses.replace(cell.place, test_split=test_split, seed=None), found


def _paper(method: str) -> str:
    """The paper that the method's class names, where it is known here."""
    return str(registry("methods").get(method).paper) if method in registry("methods").origins else ""


def _own(cell: CellRecord) -> str:
    """Name and version of this project, for a method that it holds with all its enhancers; empty for any other."""
    names = [("methods", cell.made.method), *(("enhancers", name) for name, _ in cell.made.enhancers)]
    for kind, name in names:
        origin = registry(kind).origins.get(name)
        if origin is None or not origin.module.startswith(tuple(f"{p}." for p in FOLDERS[kind])):
            return ""
    return f"{OWN}{cell.versions.get(OWN.strip(), '')}, commit {cell.versions.get('git') or 'unknown'}"


def file_name(entry: Entry) -> str:
    """`taet-cifar10lt-ir10-resnet18-1f0c9a3b.json`: readable, and one for each configuration and split."""
    place = entry.place
    told = "-".join((place.method.replace("+", "-"), place.dataset, f"ir{place.ir:g}", place.model))
    digest = hashlib.sha256(canonical_json([entry.where, entry.extra_data]).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^a-z0-9.]+', '-', told.lower())[:80]}-{digest}.json"
