"""Which tasks still need work: what a results folder lacks of what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.config import Task
from bench.errors import StoreError
from bench.store.folders import CellFolder
from bench.store.schema import CHECKPOINT, ROWS


def plan(tasks: Sequence[Task], results: Path) -> list[Task]:
    """The tasks that are not finished, in their order. Raises StoreError for a store of a newer schema."""
    return [task for task in tasks if missing(task, _read(results, task))]


def _read(results: Path, task: Task) -> dict[str, Any] | None:
    folder = CellFolder(results, task.spec.id)
    try:
        cell = folder.read()
    except StoreError as error:
        if "schema" in str(error):
            raise
        return None
    return cell if cell is None or (folder.path / ROWS).exists() or not cell.get("evaluations") else None


def missing(task: Task, cell: dict[str, Any] | None) -> list[str]:
    """Stages a cell lacks: `train`, `curves`, `features`, `<split>/<attack>`; empty when it is finished."""
    if cell is None or "train" not in cell.get("stages", {}):
        return ["train", *evaluations(task)]
    lacks = [key for key in evaluations(task) if key not in cell.get("evaluations", {})]
    if not set(task.want.track) <= set(cell.get("tracked", ())):
        lacks.append("curves")
    if task.want.features and not cell.get("features"):
        lacks.append("features")
    return lacks


def evaluations(task: Task) -> list[str]:
    """Keys of the wanted evaluations."""
    return [evaluation.key for evaluation in task.want.evaluations]


def has_checkpoint(results: Path, task: Task) -> bool:
    """Whether the cell's weights are there."""
    return (results / task.spec.id / CHECKPOINT).exists()
