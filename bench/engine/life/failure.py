"""A failed cell is kept as one, with where and why; it never looks like a result."""

from __future__ import annotations

from pathlib import Path

from bench.config import Task
from bench.errors import NewerSchemaError, StoreError, UnreadableError
from bench.store.folders import CellFolder, moved, new_cell, set_aside
from bench.store.schema import CELL


def mark_failed(root: Path, task: Task, stage: str, message: str, traceback: str = "") -> None:
    """Write status `failed` with stage, one sentence and the traceback into the cell's cell.json.

    What was done before stays. A cell.json that cannot be read is set aside. Raises StoreError when the folder cannot
    be written, may not be read, or holds a newer schema.
    """
    folder = CellFolder(root, task.spec.id)
    try:
        cell = folder.read()
    except (NewerSchemaError, UnreadableError):
        raise
    except StoreError:
        set_aside(folder.path / CELL)
        cell = None
    cell = moved(cell or new_cell(task.spec), "failed", stage)
    folder.write(cell | {"failure": {"stage": stage, "message": message, "traceback": traceback}})
