"""A failed cell is kept as one, with where and why; it never looks like a result."""

from __future__ import annotations

from pathlib import Path

from bench.config import BENCHMARK_VERSION, SCHEMA_VERSION, Task, to_plain
from bench.store.folders import CellFolder, moved


def mark_failed(root: Path, task: Task, stage: str, message: str, traceback: str = "") -> None:
    """Write status `failed` with stage, one sentence and the traceback into the cell's cell.json."""
    folder = CellFolder(root, task.spec.id)
    cell = folder.read() or {
        "schema": SCHEMA_VERSION, "benchmark": BENCHMARK_VERSION, "id": task.spec.id, "spec": to_plain(task.spec),
    }  # fmt: skip
    cell = moved(cell, "failed", stage)
    folder.write(cell | {"failure": {"stage": stage, "message": message, "traceback": traceback}})
