"""A store small enough to commit: counts, manifests, bits, curves and features, without weights."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Container
from pathlib import Path

from bench.store.folders import atomic_write, read_record
from bench.store.parts.files import unwritable
from bench.store.parts.tunings import TUNINGS
from bench.store.provenance.inputs import fresh
from bench.store.query import folders
from bench.store.results import Results
from bench.store.schema import CELL, CURVES, FEATURES, ROWS, SAMPLES

#: what is copied of a cell; cell.json last, for without it a folder that a kill left behind is no cell
KEPT = (ROWS, CURVES, SAMPLES, FEATURES, CELL)
#: cells that are copied: a failed one stays visible, with what it had finished before
COPIED = ("done", "failed")


def clashes(source: Path, target: Path, skip: Container[str] = ()) -> list[str]:
    """Names of the cells of `source`, but those of `skip`, of which `target` holds other counts."""
    pairs = [(f / ROWS, target / f.name / ROWS) for f in folders(source) if f.name not in skip]
    return [a.parent.name for a, b in pairs if a.exists() and b.exists() and a.read_bytes() != b.read_bytes()]


def outdated(source: Path, target: Path, skip: Container[str] = ()) -> list[str]:
    """Names of the cells of `target` that would no longer count beside those of `source`, made by newer code."""
    here = {f.name: read_record(f) for f in folders(source) if f.name not in skip}
    coming = [cell for cell in here.values() if cell.status in COPIED]
    there = [cell for cell in Results(target).cells if cell.id not in here] if target.is_dir() else []
    left = {cell.id: cell for cell in fresh([*there, *coming])[0]}
    return [
        cell.id for cell in there if cell.id not in left or left[cell.id].evaluations.keys() < cell.evaluations.keys()
    ]


def publish(source: Path, target: Path, skip: Container[str] = ()) -> Counter[str]:
    """Copy the finished and failed cells of `source`, but those of `skip`, to `target`, and what is known of tunings.

    Returns how many there are of each status; those of another are under way and stay. Raises StoreError.
    """
    counts = Counter[str]()
    for folder in folders(source):
        if folder.name in skip:
            continue
        status = read_record(folder).status
        counts[status] += 1
        for name in KEPT if status in COPIED else ():
            if (folder / name).exists():
                atomic_write(target / folder.name / name, (folder / name).read_bytes())
    for path in sorted((source / TUNINGS).glob("*.json")):
        atomic_write(target / TUNINGS / path.name, path.read_bytes())
    return counts


def replace(fresh: Path, target: Path) -> None:
    """Put the folder `fresh` in the place of `target`, which is there, old or new, whenever this is stopped.

    Between the two renamings the old one lies beside, where the next call finds it. Raises StoreError.
    """
    old = target.with_name(target.name + ".old")
    try:
        restore(target)
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise unwritable(f"cannot write {target}", error) from error


def restore(target: Path) -> None:
    """Bring back what a `replace` that was killed had put aside."""
    old = target.with_name(target.name + ".old")
    if old.exists() and not target.exists():
        old.rename(target)
