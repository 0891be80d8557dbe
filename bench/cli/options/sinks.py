"""`--sink NAME:TARGET`: the events of a run, told to the tracking programs that the user names.

A sink that fails is given up with one warning; no cell, no file of the store and no exit code depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.shown.stream import tell
from bench.engine.executors import ENDS, Event, OnEvent
from bench.errors import BenchError, UsageError, in_words
from bench.registry import registry

if TYPE_CHECKING:
    from bench.api import Sink
    from bench.config import CellSpec, Task

#: what of a cell's evaluations is told
SCORES = ("balanced", "tail", "worst-class")


class Sinks:
    """Every sink of a run. `texts`: `name:target` each. Raises UsageError for one that cannot be opened."""

    def __init__(self, texts: Sequence[str], tasks: Sequence[Task], results: Path) -> None:
        twice = next((text for i, text in enumerate(texts) if text in texts[:i]), None)
        if twice:
            raise UsageError(f"--sink '{twice}' stands twice; give it once.")
        self.results = results
        self.specs: dict[str, CellSpec] = {}
        self._open: dict[str, Sink] = {text: _opened(text) for text in texts}
        #: cell under way -> the epoch that comes next; what is out of turn is told at the cell's end
        self._next: dict[str, int] = {}
        for task in tasks:
            self.expect(task)

    def expect(self, task: Task) -> None:
        """Tell of this cell too, once something happens to it."""
        self.specs[task.spec.id] = task.spec

    def beside(self, listener: OnEvent) -> OnEvent:
        """A listener that hears of everything first, the sinks after it."""

        def both(event: Event) -> None:
            listener(event)
            if self._open and event["cell"] in self.specs:
                self._hear(event)

        return both if self._open else listener

    def close(self) -> None:
        """The run is over; what is still under way was stopped."""
        for cell in list(self._next):
            self._end(cell, "stopped")
        self._tell(lambda sink: sink.close())
        self._open.clear()

    def _hear(self, event: Event) -> None:
        cell, what = event["cell"], event["event"]
        if what == "elsewhere" or (what in ENDS and cell not in self._next and what != "done"):
            return
        if cell not in self._next:
            self._next[cell] = 0
            self._tell(lambda sink: sink.start(cell, flat(self.specs[cell])))
        if what in ENDS:
            if what == "done":
                self._finish(cell)
            self._end(cell, what)
        elif event.get("row", {}).get("epoch") == self._next[cell]:
            self._row(cell, event["row"])

    def _finish(self, cell: str) -> None:
        """Epochs that nobody saw, as those of another host or of before an interruption, and the scores."""
        from bench.store import query

        try:
            rows = query.curves(self.results / cell).to_dict("records")
            scores = dict(_scores(self.results / cell))
        except (BenchError, OSError) as error:  # somebody is at the folder
            tell(f"{cell}: the sinks are told no scores ({in_words(error)}).")
            return
        for row in rows:
            if row["epoch"] == self._next[cell]:
                self._row(cell, row)
        self._tell(lambda sink: sink.scores(cell, scores))

    def _row(self, cell: str, row: Mapping[Any, Any]) -> None:
        epoch = int(row["epoch"])
        self._next[cell] = epoch + 1
        values = {name: float(value) for name, value in row.items() if name != "epoch" and _is_number(value)}
        self._tell(lambda sink: sink.row(cell, epoch, values))

    def _end(self, cell: str, how: str) -> None:
        del self._next[cell]
        self._tell(lambda sink: sink.end(cell, how))

    def _tell(self, say: Callable[[Sink], None]) -> None:
        for text, sink in list(self._open.items()):
            try:
                say(sink)
            except (Exception, SystemExit) as error:  # a sink is anybody's code, and its disk or server may be gone
                del self._open[text]
                tell(f"--sink {text} failed and is told nothing more ({in_words(error)}); the cells are not affected.")


def flat(spec: CellSpec) -> dict[str, Any]:
    """A specification as one level of names: `recipe.lr`, `hparams.beta`."""
    from bench.config import to_plain

    return dict(_leaves("", to_plain(spec)))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list | tuple) and value and all(isinstance(v, list | tuple) and len(v) == 2 for v in value):
        for key, inner in value:  # settings, a pair each
            yield from _leaves(f"{name}.{key}", inner)
    else:
        yield name, value


def _scores(folder: Path) -> Iterator[tuple[str, float]]:
    from bench.judge.metrics import summarise
    from bench.store import query
    from bench.store.folders import read_record
    from bench.store.schema import ROWS

    if not read_record(folder).evaluations:  # a trial of a tuning, which no attack saw
        return
    for line in summarise(query.read_rows(folder / ROWS)).to_dict("records"):
        for name in SCORES:
            yield f"{line['test_split']}/{line['attack']}/{name}", 100 * float(line[name])


def _opened(text: str) -> Sink:
    name, colon, target = text.partition(":")
    cls: type[Sink] = registry("sinks").get(name)
    if not colon or not target.strip():
        raise UsageError(f"--sink '{text}' says not where; write {name}:{cls.argument_name}.")
    try:
        return cls(target)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"--sink {text} cannot be opened ({in_words(error)}); mend that, or leave it out.") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
