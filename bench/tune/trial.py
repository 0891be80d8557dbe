"""One trial of a tuning: a cell with a part of its training images held out, which judges every epoch.

The cell is asked for nothing but its weights, so no attack ever sees a test image. Its curve is the column `validation`
of epochs.csv. A hopeless trial is stopped as by a signal: its last whole epoch is kept, and `bench run` would go on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.config import Request, Task
from bench.engine.cell import Emit, run_cell
from bench.engine.host import stop
from bench.engine.life.settings import Settings
from bench.engine.resume.checkpoint import load_checkpoint
from bench.errors import BenchError, HeldError, StoppedError, StoreError
from bench.store import query
from bench.store.parts.tunings import COLUMN, Trial
from bench.store.schema import CHECKPOINT, CURVES
from bench.tune.adviser import Advice

#: stages in which a cell fails by its settings; whatever fails before would fail for every trial
OWN_STAGES = ("train",)


class GivenUpError(StoppedError):
    """The trial is hopeless; what it has is kept."""

    def __init__(self) -> None:
        BenchError.__init__(self, "given up by a tuning; what it has is kept.")


def run_trial(task: Task, label: str, advice: Advice, settings: Settings, emit: Emit) -> Trial:
    """Train the cell of a trial, or find it done. Raises BenchError where no trial could be made, StoppedError."""
    task = Task(task.spec, Request())
    folder, epochs = settings.results / task.spec.id, task.spec.recipe.epochs
    curve = _before(folder)
    for epoch, value in enumerate(curve):
        advice.hopeless(epoch, value)
    end: dict[str, Any] = {}
    given_up = False

    def listen(event: Mapping[str, Any]) -> None:
        nonlocal given_up
        end.update(event)
        emit(dict(event))
        row = event.get("row")
        if row is not None and COLUMN in row:
            curve.append(float(row[COLUMN]))
            if advice.hopeless(int(row["epoch"]), curve[-1]) and int(row["epoch"]) + 1 < epochs:
                given_up = True
                raise GivenUpError

    run_cell(task, settings, listen)
    told: dict[str, Any] = {"cell": task.spec.id, "label": label, "settings": advice.settings}
    if given_up:
        return Trial(**told, state="pruned", curve=curve)
    stop.check()
    if end["event"] == "failed" and end["stage"] in OWN_STAGES:
        return Trial(**told, state="failed", curve=curve, message=str(end["message"]))
    if end["event"] == "elsewhere":
        raise HeldError(str(end["message"]))
    if end["event"] != "done":
        raise BenchError(f"{task.spec.id}: {end['message']}")
    curve = _finished(folder)
    return Trial(**told, state="done", value=max(curve), curve=curve)


def _before(folder: Path) -> list[float]:
    """The curve of an interrupted trial, from its checkpoint; empty for one that is new, finished or damaged."""
    if (folder / CURVES).exists() or not (folder / CHECKPOINT).exists():
        return []
    try:
        return [float(row[COLUMN]) for row in load_checkpoint(folder / CHECKPOINT)["curves"]]
    except (StoreError, KeyError, TypeError):  # the cell's own life sets it aside
        return []


def _finished(folder: Path) -> list[float]:
    """The curve of a finished cell."""
    frame = query.curves(folder)
    values = [float(value) for value in frame[COLUMN]] if COLUMN in frame else []
    if not values or not all(map(math.isfinite, values)):
        raise StoreError(f"{folder / CURVES} has no column '{COLUMN}' with numbers; begin the cell anew.")
    return values
