"""Which tasks still need work: what a results folder lacks of what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.config import Task
from bench.engine.life.inputs import Inputs
from bench.store.bulk import gathering
from bench.store.state import State, look


class Work(NamedTuple):
    """A task that is not finished, and what it `lacks` (see `missing`); or why what is there is `stale`.

    `failed`: it was tried and failed.
    """

    task: Task
    lacks: list[str]
    stale: str = ""
    failed: bool = False


@gathering()
def plan(tasks: Sequence[Task], results: Path, data_root: Path | None = None, retrain: bool = False) -> list[Work]:
    """What is to be done, in the order of the tasks. Raises NewerSchemaError for a store of a newer schema.

    A cell that was made from other code or data than there is now is in it whether it was finished or not; it lacks
    everything when it may be begun anew (`retrain`).
    """
    inputs = Inputs(data_root)
    planned = []
    for task in tasks:
        state = look(results / task.spec.id)
        stale = state.changed or inputs.stale(task.spec, state.cell)
        failed = state.cell is not None and state.cell.status == "failed"
        planned.append(Work(task, missing(task, State() if stale and retrain else state), stale, failed))
    return [work for work in planned if work.lacks or work.stale]


def missing(task: Task, state: State) -> list[str]:
    """What a cell lacks: `train`, `<split>/<attack>`, `curves`, `features`, `rows`; empty when it is finished.

    A cell whose weights are gone is complete as long as nothing is asked that needs them. One that was interrupted when
    all was there but its end lacks its rows: they are derived again, and it is done.
    """
    cell = state.cell
    done, stages, tracked = (cell.evaluations, cell.stages, cell.tracked) if cell else ({}, {}, [])
    lacks = [evaluation.key for evaluation in task.want.evaluations if evaluation.key not in done]
    if task.want.track and not (state.curves and set(task.want.track) <= set(tracked)):
        lacks.append("curves")
    if task.want.features and not (state.features and cell and cell.features):
        lacks.append("features")
    if "train" not in stages or (lacks and not state.checkpoint):
        lacks.insert(0, "train")
    return lacks if state.rows and not (state.interrupted and not lacks) else [*lacks, "rows"]
