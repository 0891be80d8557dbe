"""How cells are placed on processes and machines; nothing about what a cell does.

An executor takes tasks and settings and calls `on_event` with what cells report. The unit it places is always
`bench.engine.cell.run_cell(task, settings, emit)`: idempotent, resumable, and silent but for its events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from bench.config import Task
from bench.engine.life.settings import Settings
from bench.errors import StoreError

#: {"cell": id, "event": "ready" | "progress" | "aside" (a damaged file was renamed) | "note" | one of ENDS, ...}; after
#: an epoch a "progress" has its `row` of epochs.csv too
Event = dict[str, Any]
OnEvent = Callable[[Event], None]

#: the last event of a task; `elsewhere`: another process is working in the cell's folder, or what it goes on from is
#: not made yet; `stopped`: the process was told to stop, and the cell goes on in the next run
ENDS = ("done", "failed", "elsewhere", "stopped")


class Executor(Protocol):
    """Runs tasks somewhere and returns when each has ended."""

    def run(self, tasks: Sequence[Task], settings: Settings, on_event: OnEvent) -> None:
        """Run every task; a task's failure is an event, never an exception."""


class Ground:
    """The results folder under a run: it may be made by the run, but once it was there it must stay."""

    def __init__(self, results: Path) -> None:
        self.results, self.was = results, results.is_dir()

    def check(self) -> None:
        """Raises StoreError when the folder is gone: no cell of a run is to be begun in an empty one."""
        now = self.results.is_dir()
        if self.was and not now:
            raise StoreError(
                f"results folder {self.results} is gone, removed or unmounted during the run; bring it back, and the "
                "same command goes on."
            )
        self.was = now


def failed(task: Task, stage: str, message: str) -> Event:
    """The event of a task that failed outside of its cell's own care."""
    return {"cell": task.spec.id, "event": "failed", "stage": stage, "message": message}
