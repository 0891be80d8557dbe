"""Cells one after the other in this process: for debugging and tests. A crash takes the process with it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.config import Task
from bench.engine.executors import Ground, OnEvent, failed
from bench.engine.host import stop
from bench.engine.life.settings import Settings


class Inline:
    """See the module."""

    def run(self, tasks: Sequence[Task], settings: Settings, on_event: OnEvent) -> None:
        """Run every task here. Raises StoreError when the results folder goes away."""
        from bench.engine.cell import run_cell

        ground = Ground(settings.results)
        for task in tasks:
            ground.check()
            try:
                run_cell(task, settings, on_event)
            except Exception as error:  # a failure that could not be stored, on a full disk for one
                on_event(failed(task, "store", f"{type(error).__name__}: {error}"))
            stop.check()
