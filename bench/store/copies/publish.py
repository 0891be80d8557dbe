"""A store small enough to commit: counts, manifests, bits, curves and features, without weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import HeldError, NewerSchemaError, StoreError, UnreadableError
from bench.store.copies.compare import Copy, OtherError, begins, losses
from bench.store.folders import CellFolder, atomic_write, read_record
from bench.store.parts.tunings import Tuning, keep, load, path_of, tunings
from bench.store.provenance.inputs import fresh
from bench.store.query import folders
from bench.store.results import Results
from bench.store.schema import CELL, CURVES, FEATURES, ROWS, SAMPLES

#: what is copied of a cell; cell.json last, for without it a folder that a kill left behind is no cell
KEPT = (ROWS, CURVES, SAMPLES, FEATURES, CELL)
#: cells that are copied: a failed one stays visible, with what it had finished before
COPIED = ("done", "failed")


@dataclass
class Published:
    """How many cells of each status were met, and a sentence for each cell or tuning that could not be copied."""

    counts: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)


def clashes(source: Path, target: Path, skip: Container[str] = ()) -> dict[str, str]:
    """Name of a cell or tuning of `target` -> what would be lost of it if that of `source` took its place.

    Cells of `skip` are not asked. Raises NewerSchemaError, UnreadableError: what these say of is never overwritten.
    """
    found = {f.name: _lost(f, target / f.name) for f, status in _statuses(source, skip) if status in COPIED}
    found |= {str(path_of(Path(), tuning.study)): _cut(tuning, target) for tuning in tunings(source)[0]}
    return {name: what for name, what in found.items() if what}


def outdated(source: Path, target: Path, skip: Container[str] = ()) -> list[str]:
    """Names of the cells of `target` that would no longer count beside those of `source`, made by newer code."""
    here = {f.name: read_record(f) for f in folders(source) if f.name not in skip}
    coming = [cell for cell in here.values() if cell.status in COPIED]
    there = [cell for cell in Results(target).cells if cell.id not in here] if target.is_dir() else []
    left = {cell.id: cell for cell in fresh([*there, *coming])[0]}
    return [
        cell.id for cell in there if cell.id not in left or left[cell.id].evaluations.keys() < cell.evaluations.keys()
    ]


def publish(source: Path, target: Path, skip: Container[str] = (), *, replace: bool = False) -> Published:
    """Copy the finished and failed cells of `source`, but those of `skip`, to `target`, and what is known of tunings.

    Each is copied under its lease, and only where nothing of the target is lost, unless it is to be replaced; cells of
    another status are under way and stay. Raises StoreError where the target cannot be written.
    """
    done = Published()
    for folder, status in _statuses(source, skip):
        try:
            if status in COPIED:
                _copy(folder, target, replace)
            done.counts[status] += 1
        except (HeldError, OtherError) as error:
            done.left.append(str(error))
    found, problems = tunings(source)
    for tuning in found:
        if replace or not _cut(tuning, target):
            keep(target, tuning)
    done.left += problems
    return done


def _statuses(source: Path, skip: Container[str]) -> Iterator[tuple[Path, str]]:
    """(folder, status) of each cell that is not to be skipped."""
    return ((folder, read_record(folder).status) for folder in folders(source) if folder.name not in skip)


def _copy(folder: Path, target: Path, replace: bool) -> None:
    """Put a cell in its place, whole where it is to be replaced. Raises HeldError, OtherError, StoreError."""
    place = target / folder.name
    with CellFolder(target, folder.name).locked():
        if not replace and (what := _lost(folder, place)):  # once more: nobody changes it any longer
            raise OtherError(f"{place} was changed while this ran ({what} would be lost); run the same command again.")
        for name in KEPT:
            if (folder / name).exists():
                atomic_write(place / name, (folder / name).read_bytes())
            elif replace:
                (place / name).unlink(missing_ok=True)


def _lost(folder: Path, place: Path) -> str:
    """What the cell of `place` holds that would be lost if that of `folder` took its place; nothing, or in words."""
    if not (place / CELL).exists():
        return ""
    try:
        there = Copy.of(place)
    except (NewerSchemaError, UnreadableError):
        raise
    except StoreError:
        return "what cannot be read"
    return ", ".join(losses(there, Copy.of(folder)))


def _cut(tuning: Tuning, target: Path) -> str:
    """What the target knows of a tuning that would be lost; nothing, or in words."""
    try:
        there = load(target, tuning.study)
    except StoreError:
        return "what cannot be read"
    return "" if begins(there, tuning) else f"{len(there.trials)} trials"
