"""Progress of a grid: a line a finished cell with its scores, time left, and bars on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.cli.shown.format import counted, duration
from bench.cli.shown.stream import tell
from bench.config import Task
from bench.engine.executors import ENDS
from bench.errors import BenchError

log = logging.getLogger("bench.run")
#: letters of a line that holds a cell's scores too; else they stand below it
WIDTH = 80


class Progress:
    """Turns the events of an executor into bars (rich) or lines, and into the log; remembers how each cell ended."""

    def __init__(
        self, tasks: list[Task], done: int, results: Path, *, quiet: bool = False, expected: float | None = None
    ) -> None:
        """`tasks`: what is to be done; `done`: cells that were before; `expected`: seconds of all, where known.

        `quiet`: only what went wrong is said.
        """
        self.total, self.before, self.started = len(tasks), done, time.monotonic()
        self.results, self.quiet, self.expected = results, quiet, expected
        self.ends: dict[str, dict[str, Any]] = {}
        self._began: dict[str, float] = {}
        self._bars: dict[str, Any] = {}
        self._stages: dict[str, str] = {}
        self._live: Any = None
        self._at_last = 0.0

    def ended(self, how: str) -> list[str]:
        """Ids of the cells that ended so: one of ENDS."""
        return [cell for cell, event in self.ends.items() if event["event"] == how]

    def __enter__(self) -> Self:
        if self.before and not self.quiet:
            tell(f"{counted(self.before, 'cell')} done already.")
        if sys.stderr.isatty() and not self.quiet and not log.isEnabledFor(logging.INFO):  # a log would tear the bars
            self._live = _bars()
            self._live.start()
            self._bars[""] = self._live.add_task("cells", total=self.total, left=self._left())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()

    def on_event(self, event: dict[str, Any]) -> None:
        """Show one event, and log it. Never raises: whether anybody can listen is no matter of the cells."""
        if event["event"] in ENDS:
            self.ends[event["cell"]] = event
        with suppress(OSError, BenchError, ValueError):
            self._show(event)

    def _show(self, event: dict[str, Any]) -> None:
        log.info("%s", self._line(event))
        if event["event"] in ENDS:
            self._end(event)
        elif event["event"] in ("aside", "note"):
            self._say(f"{event['cell']}: {event['message']}")
        elif event["event"] == "progress" and self._live is not None:
            self._move(event)

    def _line(self, event: dict[str, Any]) -> str:
        """`at-...: progress, stage long-tailed/pgd-20, at 128, of 900 (3.2 s)`; the time is that since its first."""
        cell, now = event["cell"], time.monotonic()
        facts = [f"{name} {_short(value)}" for name, value in event.items() if name not in ("cell", "event", "row")]
        text = f"{cell or 'a process'}: {', '.join([event['event'], *facts])}"
        return f"{text} ({now - self._began.setdefault(cell, now):.1f} s)" if cell else text

    def _move(self, event: dict[str, Any]) -> None:
        cell, stage = event["cell"], str(event["stage"])
        if cell not in self._bars:
            self._bars[cell] = self._live.add_task(cell, left=None)
        elif self._stages.get(cell) != stage:  # another pace: the time left begins anew
            self._live.reset(self._bars[cell])
        self._stages[cell] = stage
        description = f"{cell.rpartition('-')[0] or cell} {stage}"
        self._live.update(self._bars[cell], description=description, completed=event["at"], total=event["of"])
        self._live.update(self._bars[""], left=self._left())

    def _left(self) -> str:
        """`12 min left`; empty where nothing is known yet."""
        spent, rest = time.monotonic() - self.started, self.total - len(self.ends)
        if rest and self.ends:
            return f"{duration(max(self._at_last / len(self.ends) * rest - (spent - self._at_last), 0.0))} left"
        if rest and self.expected is not None:
            return f"{duration(max(self.expected - spent, 0.0))} left"
        return ""

    def _end(self, event: dict[str, Any]) -> None:
        cell = event["cell"]
        self._at_last = time.monotonic() - self.started
        left = self._left()
        line = f"[{len(self.ends)}/{self.total}{', ' if left else ''}{left}] {cell}: {_how(event)}"
        scores = _brief(self.results / cell) if event["event"] == "done" and not self.quiet else ""
        if cell in self._bars:
            self._live.remove_task(self._bars.pop(cell))
        if self._live is not None:
            self._live.update(self._bars[""], completed=len(self.ends), left=left)
        fits = len(line) + len(scores) + 2 <= WIDTH
        self._say(
            line + (", " if scores and fits else "\n    " if scores else "") + scores, wrong=event["event"] == "failed"
        )

    def _say(self, line: str, *, wrong: bool = False) -> None:
        """A line that stays, above the bars where there are any."""
        if self.quiet and not wrong:
            return
        if self._live is None:
            tell(line)
        else:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def raise_first(self) -> None:
        """Raises BenchError with the message of the first cell that failed or is another process's."""
        wrong = [event["message"] for event in self.ends.values() if event["event"] in ("failed", "elsewhere")]
        if wrong:
            raise BenchError(wrong[0])

    def counts(self) -> dict[str, int]:
        """How many cells ended how, and how many were done before."""
        number = Counter(event["event"] for event in self.ends.values())
        return {
            "done": number["done"],
            "failed": number["failed"],
            "done_before": self.before,
            "elsewhere": number["elsewhere"],
        }

    def summary(self) -> list[str]:
        """The last sentences of a run."""
        number = self.counts()
        told = [
            f"{counted(number['done'], 'cell')} done, {number['failed']} failed, {self.before} done before, "
            f"in {duration(time.monotonic() - self.started)}; results are in {self.results}."
        ]
        if number["elsewhere"]:
            told.append(
                f"{counted(number['elsewhere'], 'cell')} left to another process, which computes them or what they go "
                "on from; run the same command again when it has ended."
            )
        return told


def _bars() -> Any:
    """Bars that fit a terminal of 80 columns; the time left of the grid is ours, that of a stage is rich's."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.table import Column
    from rich.text import Text

    stage = TimeRemainingColumn()

    class Left(ProgressColumn):
        def render(self, task: Any) -> Text:
            return stage.render(task) if task.fields["left"] is None else Text(task.fields["left"])

    name = TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    return Bars(
        name,
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        Left(),
        console=Console(file=sys.__stderr__),
        transient=True,
        expand=True,
    )


def _brief(folder: Path) -> str:
    from bench.cli.shown.score_table import brief
    from bench.reports.extracts.scores import of_cell

    try:
        return brief(of_cell(folder))
    except (OSError, BenchError):  # somebody is at the folder
        return ""


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _how(event: dict[str, Any]) -> str:
    if event["event"] == "failed":
        return f"FAILED in {event['stage']}: {event['message']}"
    if event["event"] == "elsewhere":
        return f"left for now: {event['message']}"
    return {"stopped": "stopped; it goes on next time"}.get(event["event"], "done")
