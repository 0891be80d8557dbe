"""A store small enough to commit: counts, manifests, bits, curves and features, without weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.store.folders import read_cell
from bench.store.query import folders
from bench.store.schema import CELL, CURVES, ROWS, SAMPLES


def clashes(source: Path, target: Path) -> list[str]:
    """Names of the finished cells of `source` of which `target` holds other counts."""
    pairs = [(folder / ROWS, target / folder.name / ROWS) for folder in folders(source)]
    return [a.parent.name for a, b in pairs if a.exists() and b.exists() and a.read_bytes() != b.read_bytes()]


def publish(source: Path, target: Path) -> int:
    """Copy every finished cell of `source` to `target` without checkpoints and partial verdicts; returns how many.

    Failed cells are copied with their cell.json alone: they stay visible. Raises StoreError.
    """
    count = 0
    for folder in folders(source):
        names = (CELL, ROWS, CURVES, SAMPLES, "features.npz") if read_cell(folder)["status"] == "done" else (CELL,)
        (target / folder.name).mkdir(parents=True, exist_ok=True)
        for name in names:
            if (folder / name).exists():
                shutil.copyfile(folder / name, target / folder.name / name)
        count += 1
    return count
