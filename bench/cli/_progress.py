"""Progress of a grid: bars with time left on a terminal, one line a finished cell elsewhere."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

from bench.cli._format import counted, duration
from bench.config import Task
from bench.engine.executors import ENDS

log = logging.getLogger("bench.run")


class Progress:
    """Turns the events of an executor into bars (rich) or lines, and into the log; remembers how each cell ended."""

    def __init__(self, tasks: list[Task], done: int) -> None:
        self.total, self.before, self.started = len(tasks), done, time.monotonic()
        self.ends: dict[str, dict[str, Any]] = {}
        self._began: dict[str, float] = {}
        self._bars: dict[str, Any] = {}
        self._live: Any = None

    def ended(self, how: str) -> list[str]:
        """Ids of the cells that ended so: one of ENDS."""
        return [cell for cell, event in self.ends.items() if event["event"] == how]

    def __enter__(self) -> Self:
        if self.before:
            click.echo(f"{self.before} cells are done already.", err=True)
        if sys.stderr.isatty() and not log.isEnabledFor(logging.INFO):  # lines of a log would tear the bars
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            self._live = Bars(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                console=Console(file=sys.__stderr__), transient=True,
            )  # fmt: skip
            self._live.start()
            self._bars[""] = self._live.add_task("cells", total=self.total)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def on_event(self, event: dict[str, Any]) -> None:
        """Show one event, and log it."""
        log.info("%s", self._line(event))
        if event["event"] in ENDS:
            self._end(event)
        elif event["event"] == "aside":
            self._say(f"{event['cell']}: {event['message']}")
        elif event["event"] == "progress" and self._live is not None:
            self._move(event)

    def _line(self, event: dict[str, Any]) -> str:
        """`at-...: progress, stage long-tailed/pgd-20, at 128, of 900 (3.2 s)`; the time is that since its first."""
        cell, now = event["cell"], time.monotonic()
        facts = [f"{name} {_short(value)}" for name, value in event.items() if name not in ("cell", "event")]
        text = f"{cell or 'a process'}: {', '.join([event['event'], *facts])}"
        return f"{text} ({now - self._began.setdefault(cell, now):.1f} s)" if cell else text

    def _move(self, event: dict[str, Any]) -> None:
        cell = event["cell"]
        if cell not in self._bars:
            self._bars[cell] = self._live.add_task(cell)
        description = f"{cell}: {event['stage']}"
        self._live.update(self._bars[cell], description=description, completed=event["at"], total=event["of"])

    def _end(self, event: dict[str, Any]) -> None:
        cell = event["cell"]
        self.ends[cell] = event
        left = (time.monotonic() - self.started) / len(self.ends) * (self.total - len(self.ends))
        line = f"[{len(self.ends)}/{self.total}] {cell}: {_how(event)}"
        line += f" ({duration(left)} left)" if len(self.ends) < self.total else ""
        if cell in self._bars:
            self._live.remove_task(self._bars.pop(cell))
        if self._live is not None:
            self._live.update(self._bars[""], completed=len(self.ends))
        self._say(line)

    def _say(self, line: str) -> None:
        """A line that stays, above the bars where there are any."""
        if self._live is None:
            click.echo(line, err=True)
        else:
            self._live.console.print(line)

    def summary(self, results: Path) -> None:
        """The last lines of a run."""
        number = Counter(event["event"] for event in self.ends.values())
        click.echo(
            f"{counted(number['done'], 'cell')} done, {number['failed']} failed, {self.before} done before, "
            f"in {duration(time.monotonic() - self.started)}; results are in {results}. Next: bench report"
            + ("" if str(results) == "results/runs" else f" --results {shlex.quote(str(results))}")
        )
        if number["elsewhere"]:
            click.echo(
                f"{counted(number['elsewhere'], 'cell')} left to another process, which computes them; run the same "
                "command again when it has ended."
            )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _how(event: dict[str, Any]) -> str:
    if event["event"] == "failed":
        return f"FAILED in {event['stage']}: {event['message']}"
    said = {"elsewhere": "being computed by another process", "stopped": "stopped; it goes on next time"}
    return said.get(event["event"], "done")
