"""What becomes of a results folder's cells now: planned, running, done, failed. Read from files that others write to.

Only cell.json, leases and the grids that runs have written down are looked at, so ten thousand cells take seconds; what
a cell's files really hold is `bench verify`'s business. Of a done cell it is told, too, what of its code has changed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from bench.config import cell_from_plain
from bench.errors import BenchError, StoreError
from bench.store import lease
from bench.store.parts.files import read
from bench.store.parts.record import Key, understood
from bench.store.provenance.inputs import changed
from bench.store.schema import CELL
from bench.store.where import Where

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
    """Those keys of cell.json that say what a cell is and how far."""

    status: str
    id: str = ""
    spec: dict[str, Any] = {}
    failure: _Failure | None = None
    history: list[_Entry] = []
    stages: dict[str, _Stage] = {}
    evaluations: dict[str, Any] = {}


class _Task(msgspec.Struct):
    id: str
    evaluations: list[str]


class _Planned(msgspec.Struct):
    spec: dict[str, Any] = {}


class _Grid(msgspec.Struct):
    cells: list[_Task]
    tasks: list[_Planned] = []


@dataclass(frozen=True)
class Standing:
    """One cell: its `state` (of STATES), `where` it runs and since when (UTC), how far it is, and why it failed
    or is of older code.

    `silent`: seconds since its owner's last beat. `seconds`: what its stages have taken so far. `evaluations`: keys of
    those that are done. `spec`: what the cell is, as cell.json says it; empty where that is not known.
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
    spec: dict[str, Any] = field(default_factory=dict)
    evaluations: tuple[str, ...] = ()

    @property
    def places(self) -> list[Where]:
        """Coordinates of its evaluations, or of the cell where there are none; empty where it says nothing of itself.

        That is the case for cells of another version, too.
        """
        try:
            place = Where.of(cell_from_plain(self.spec))
        except (BenchError, KeyError, TypeError, ValueError, AttributeError):
            return []
        return [replace(place, test_split=k.split, attack=k.attack) for k in map(Key.of, self.evaluations)] or [place]


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
    nothing: tuple[dict[str, Any], set[str]] = ({}, set())
    standings = []
    for cell in sorted({*wanted, *there}):
        spec, evaluations = wanted.get(cell, nothing)
        found = standing(root / cell, evaluations)
        standings.append(found if found.spec else replace(found, spec=spec))
    return Overview(tuple(standings), Counter(s.state for s in standings))


def planned(root: Path) -> dict[str, tuple[dict[str, Any], set[str]]]:
    """Cell id -> what it is, and keys of the evaluations wanted, of every grid that was started and is not done."""
    wanted: dict[str, tuple[dict[str, Any], set[str]]] = {}
    for file in sorted((root / GRIDS).glob("*.json")):
        try:
            grid = msgspec.json.decode(read(file), type=_Grid)
        except (OSError, StoreError, msgspec.DecodeError, RecursionError):
            continue  # one that is being removed, or of another version: its cells are seen once they begin
        for at, task in enumerate(grid.cells):
            spec = grid.tasks[at].spec if at < len(grid.tasks) else {}
            wanted.setdefault(task.id, (spec, set()))[1].update(task.evaluations)
    return wanted


def _is_cell(entry: os.DirEntry[str]) -> bool:
    return os.path.exists(os.path.join(entry.path, CELL)) or any(lease.leases(Path(entry.path)))  # noqa: PTH110, PTH118


def standing(folder: Path, wanted: Set[str] = frozenset()) -> Standing:
    """How one cell stands, of which these evaluations are `wanted`."""
    owner = lease.owner(folder)
    alive = owner is not None and not owner.dead and owner.silent <= lease.TERM
    try:
        raw = read(folder / CELL)
    except FileNotFoundError:
        raw = None
    except StoreError as error:
        return Standing(folder.name, "damaged", reason=str(error))
    try:
        glance = msgspec.json.decode(raw, type=_Glance) if raw is not None else _Glance("planned")
    except (msgspec.DecodeError, RecursionError) as error:
        return Standing(folder.name, "damaged", reason=f"{CELL} cannot be understood ({error})")
    if glance.id not in ("", folder.name):
        return Standing(folder.name, "damaged", reason=f"it is a copy: its {CELL} says {glance.id}")
    known = Standing(
        folder.name,
        "",
        seconds=sum(stage.seconds for stage in glance.stages.values()),
        spec=glance.spec,
        evaluations=tuple(sorted(glance.evaluations)),
    )
    last = glance.history[-1] if glance.history else _Entry()
    if owner is not None and alive:
        said, at = owner.said, owner.progress
        where = f"{said.host}, process {said.pid}" + (f", job {said.job}" if said.job else "")
        return replace(
            known,
            state="running",
            where=where,
            since=said.since,
            stage=at.stage,
            at=at.at,
            of=at.of,
            silent=owner.silent,
        )
    if glance.status == "failed" and glance.failure is not None:
        why = f"{glance.failure.stage}: {glance.failure.message}"
        return replace(known, state="failed", since=last.at, reason=why)
    if glance.status == "running":
        between = last.stage in glance.stages  # it was over, and the next one has not been written down
        reason, stage = (f"after {last.stage}", "") if between else ("", last.stage)
        return replace(known, state="interrupted", since=last.at, stage=stage, reason=reason)
    if not (raw and glance.status == "done" and wanted <= glance.evaluations.keys()):
        return replace(known, state="to do")
    return replace(known, state="done", since=last.at, reason=_older(raw))


def _older(raw: bytes) -> str:
    """What of a cell's code has changed since, in words; nothing of a cell that no record can be made of."""
    try:
        words = ", ".join(changed(understood(msgspec.json.decode(raw))))
    except (BenchError, msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError):
        return ""
    return f"made before changes to the code of {words}" if words else ""


def chosen(standings: Sequence[Standing], states: Sequence[str]) -> Iterator[Standing]:
    """Those of some states (all where none is given), in the order of STATES."""
    for state in STATES:
        if not states or state in states:
            yield from (s for s in standings if s.state == state)
