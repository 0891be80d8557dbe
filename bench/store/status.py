"""What becomes of a results folder's cells now: planned, running, done, failed. Read from files that others write to.

Only cell.json, leases and the grids that runs have written down are looked at, so ten thousand cells take seconds; what
a cell's files really hold is `bench verify`'s business.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import StoreError
from bench.store import lease
from bench.store.parts.files import read
from bench.store.schema import CELL

#: where grids are written down, within a results folder
GRIDS = ".grids"
#: what a cell can be, in the order in which it is told
STATES = ("running", "interrupted", "failed", "damaged", "to do", "done")


class _Failure(msgspec.Struct):
    stage: str = ""
    message: str = ""


class _Entry(msgspec.Struct):
    at: str = ""
    stage: str = ""


class _Stage(msgspec.Struct):
    seconds: float = 0.0


class _Glance(msgspec.Struct):
    """Those keys of cell.json that say how far a cell is."""

    status: str
    id: str = ""
    failure: _Failure | None = None
    history: list[_Entry] = []
    stages: dict[str, _Stage] = {}
    evaluations: dict[str, Any] = {}


class _Task(msgspec.Struct):
    id: str
    evaluations: list[str]


class _Grid(msgspec.Struct):
    cells: list[_Task]


@dataclass(frozen=True)
class Standing:
    """One cell: its `state` (of STATES), `where` it runs and since when (UTC), how far it is, and why it failed.

    `silent`: seconds since its owner's last beat. `seconds`: what its stages have taken so far.
    """

    cell: str
    state: str
    where: str = ""
    since: str = ""
    stage: str = ""
    at: int = 0
    of: int = 0
    silent: float = 0.0
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Overview:
    """All cells of a folder, by id."""

    standings: tuple[Standing, ...]
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> float | None:
        """Seconds until all is done at the pace of the done ones on as many processes as run now; None if unknown."""
        done = [s.seconds for s in self.standings if s.state == "done" and s.seconds > 0]
        open_ = self.counts["to do"] + self.counts["interrupted"] + self.counts["running"]
        if not open_:
            return 0.0
        if not done or not self.counts["running"]:
            return None
        spent = sum(s.seconds for s in self.standings if s.state in ("running", "interrupted"))
        return max(0.0, open_ * sum(done) / len(done) - spent) / self.counts["running"]


def overview(root: Path) -> Overview:
    """The standing of every cell that is there or planned. Raises StoreError when the folder is absent."""
    from bench.store.folders import open_root

    open_root(root)
    wanted = planned(root)
    there = sorted(e.name for e in os.scandir(root) if e.is_dir() and not e.name.startswith(".") and _is_cell(e))
    cells = sorted({*wanted, *there})
    standings = tuple(_standing(root / cell, wanted.get(cell, set())) for cell in cells)
    return Overview(standings, Counter(s.state for s in standings))


def planned(root: Path) -> dict[str, set[str]]:
    """Cell id -> keys of the evaluations wanted, of every grid that was started and is not done."""
    wanted: dict[str, set[str]] = {}
    for file in sorted((root / GRIDS).glob("*.json")):
        try:
            grid = msgspec.json.decode(read(file), type=_Grid)
        except (OSError, StoreError, msgspec.DecodeError, RecursionError):
            continue  # one that is being removed, or of another version: its cells are seen once they begin
        for task in grid.cells:
            wanted.setdefault(task.id, set()).update(task.evaluations)
    return wanted


def _is_cell(entry: os.DirEntry[str]) -> bool:
    return os.path.exists(os.path.join(entry.path, CELL)) or any(lease.leases(Path(entry.path)))  # noqa: PTH110, PTH118


def _standing(folder: Path, wanted: set[str]) -> Standing:
    owner = lease.owner(folder)
    alive = owner is not None and not owner.dead and owner.silent <= lease.TERM
    try:
        raw = read(folder / CELL)
    except FileNotFoundError:
        raw = b""
    except StoreError as error:
        return Standing(folder.name, "damaged", reason=str(error))
    try:
        glance = msgspec.json.decode(raw, type=_Glance) if raw else _Glance("planned")
    except (msgspec.DecodeError, RecursionError) as error:
        return Standing(folder.name, "damaged", reason=f"{CELL} cannot be understood ({error})")
    if glance.id not in ("", folder.name):
        return Standing(folder.name, "damaged", reason=f"it is a copy: its {CELL} says {glance.id}")
    seconds = sum(stage.seconds for stage in glance.stages.values())
    last = glance.history[-1] if glance.history else _Entry()
    if owner is not None and alive:
        said, at = owner.said, owner.progress
        where = f"{said.host}, process {said.pid}" + (f", job {said.job}" if said.job else "")
        return Standing(
            folder.name, "running", where, said.since, at.stage, at.at, at.of, owner.silent, seconds=seconds
        )  # fmt: skip
    if glance.status == "failed" and glance.failure is not None:
        why = f"{glance.failure.stage}: {glance.failure.message}"
        return Standing(folder.name, "failed", since=last.at, reason=why, seconds=seconds)
    if glance.status == "running":
        return Standing(folder.name, "interrupted", since=last.at, stage=last.stage, seconds=seconds)
    whole = glance.status == "done" and wanted <= glance.evaluations.keys()
    return Standing(folder.name, "done" if whole else "to do", since=last.at if whole else "", seconds=seconds)


def chosen(standings: Sequence[Standing], states: Sequence[str]) -> Iterator[Standing]:
    """Those of some states (all where none is given), in the order of STATES."""
    for state in STATES:
        if not states or state in states:
            yield from (s for s in standings if s.state == state)
