"""Progress of a grid: bars with time left on a terminal, one line a finished cell elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

from bench.cli._format import duration
from bench.config import Task


class Progress:
    """Turns the events of an executor into bars (rich) or lines; remembers what failed."""

    def __init__(self, tasks: list[Task], done: int) -> None:
        self.total, self.before, self.failed = len(tasks), done, dict[str, str]()
        self.finished, self.started = 0, time.monotonic()
        self._bars: dict[str, Any] = {}
        self._live: Any = None

    def __enter__(self) -> Self:
        if self.before:
            click.echo(f"{self.before} cells are done already.", err=True)
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            self._live = Bars(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._live.start()
            self._bars[""] = self._live.add_task("cells", total=self.total)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def on_event(self, event: dict[str, Any]) -> None:
        """Show one event."""
        cell, what = event["cell"], event["event"]
        if what == "progress" and self._live is not None:
            bar = self._bars.get(cell)
            if bar is None:
                bar = self._bars[cell] = self._live.add_task(cell)
            self._live.update(bar, description=f"{cell}: {event['stage']}", completed=event["at"], total=event["of"])
        elif what in ("done", "failed"):
            self.finished += 1
            if what == "failed":
                self.failed[cell] = f"{cell} failed in {event['stage']}: {event['message']}"
            if self._live is not None:
                if cell in self._bars:
                    self._live.remove_task(self._bars.pop(cell))
                self._live.advance(self._bars[""])
            left = (time.monotonic() - self.started) / self.finished * (self.total - self.finished)
            text = "done" if what == "done" else f"FAILED in {event['stage']}: {event['message']}"
            line = f"[{self.finished}/{self.total}] {cell}: {text}"
            line += f" ({duration(left)} left)" if self.finished < self.total else ""
            (self._live.console.print if self._live is not None else _say)(line)

    def summary(self, results: Path) -> None:
        """The last lines of a run."""
        click.echo(
            f"{self.finished - len(self.failed)} cells done, {len(self.failed)} failed, {self.before} done before, "
            f"in {duration(time.monotonic() - self.started)}; results are in {results}. Next: bench report"
            + ("" if str(results) == "results/runs" else f" --results {results}")
        )


def _say(line: str) -> None:
    click.echo(line, err=True)
