"""Which tasks still need work: what a results folder lacks of what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.config import Task
from bench.store.state import State, look


class Work(NamedTuple):
    """A task that is not finished, and what it `lacks` (see `missing`)."""

    task: Task
    lacks: list[str]


def plan(tasks: Sequence[Task], results: Path) -> list[Work]:
    """What is to be done, in the order of the tasks. Raises NewerSchemaError for a store of a newer schema."""
    planned = (Work(task, missing(task, look(results / task.spec.id))) for task in tasks)
    return [work for work in planned if work.lacks]


def missing(task: Task, state: State) -> list[str]:
    """What a cell lacks: `train`, `<split>/<attack>`, `curves`, `features`, `rows`; empty when it is finished.

    A cell whose weights are gone is complete as long as nothing is asked that needs them.
    """
    cell = state.cell or {"stages": {}, "evaluations": {}}
    lacks = [evaluation.key for evaluation in task.want.evaluations if evaluation.key not in cell["evaluations"]]
    if task.want.track and not (state.curves and set(task.want.track) <= set(cell.get("tracked", ()))):
        lacks.append("curves")
    if task.want.features and not (state.features and cell.get("features")):
        lacks.append("features")
    if "train" not in cell["stages"] or (lacks and not state.checkpoint):
        lacks.insert(0, "train")
    return lacks if state.rows else [*lacks, "rows"]
