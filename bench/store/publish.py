"""A store small enough to commit: counts, manifests, bits, curves and features, without weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.store.folders import read_cell
from bench.store.query import folders
from bench.store.schema import CELL, CURVES, ROWS, SAMPLES

#: what is copied of a cell, by its status
KEPT = {"done": (CELL, ROWS, CURVES, SAMPLES, "features.npz"), "failed": (CELL,)}


def clashes(source: Path, target: Path) -> list[str]:
    """Names of the finished cells of `source` of which `target` holds other counts."""
    pairs = [(folder / ROWS, target / folder.name / ROWS) for folder in folders(source)]
    return [a.parent.name for a, b in pairs if a.exists() and b.exists() and a.read_bytes() != b.read_bytes()]


def publish(source: Path, target: Path) -> int:
    """Copy every finished cell of `source` to `target` without checkpoints and partial verdicts; returns how many.

    Failed cells are copied with their cell.json alone: they stay visible. One under way is not. Raises StoreError.
    """
    count = 0
    for folder in folders(source):
        status = read_cell(folder)["status"]
        if status not in KEPT:
            continue
        names = KEPT[status]
        (target / folder.name).mkdir(parents=True, exist_ok=True)
        for name in names:
            if (folder / name).exists():
                shutil.copyfile(folder / name, target / folder.name / name)
        count += 1
    return count
