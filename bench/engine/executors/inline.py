"""Cells one after the other in this process: for debugging and tests. A crash takes the process with it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.config import Task
from bench.engine.executors import OnEvent
from bench.engine.settings import Settings


class Inline:
    """See the module."""

    def run(self, tasks: Sequence[Task], settings: Settings, on_event: OnEvent) -> None:
        """Run every task here."""
        from bench.engine.cell import run_cell

        for task in tasks:
            run_cell(task, settings, on_event)
