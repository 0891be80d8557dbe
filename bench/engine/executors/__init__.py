"""How cells are placed on processes and machines; nothing about what a cell does.

An executor takes tasks and settings and calls `on_event` with what cells report. The unit it places is always
`bench.engine.cell.run_cell(task, settings, emit)`: idempotent, resumable, and silent but for its events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bench.config import Task
from bench.engine.settings import Settings

#: {"cell": id, "event": "start" | "progress" | "done" | "failed", ...}
Event = dict[str, Any]
OnEvent = Callable[[Event], None]


class Executor(Protocol):
    """Runs tasks somewhere and returns when all are done or failed."""

    def run(self, tasks: Sequence[Task], settings: Settings, on_event: OnEvent) -> None:
        """Run every task; a task's failure is an event, never an exception."""
