"""What every sink keeps: it is told of cells that run at the same time, or says in one sentence what it lacks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.api import Sink
from bench.errors import UsageError
from bench.testing.contract import Target, require
from bench.testing.contract.shared import describes_itself, keeps_the_rules

BASE = Sink


def checks(target: Target) -> Iterator[tuple[str, Callable[[], None]]]:
    """With a target in a folder of its own."""
    yield "describes itself", partial(describes_itself, target)
    yield "keeps the rules of a plug-in", partial(keeps_the_rules, target)
    yield "is told two cells at a time", partial(told, target)


def told(target: Target) -> None:
    """Two cells under way at once, one without an epoch; where its package is missing, the sentence that says so."""
    with tempfile.TemporaryDirectory(prefix="bench-sink-") as folder:
        try:
            sink: Sink = target.cls(str(Path(folder) / "to"))
        except UsageError as error:
            require("pip install" in str(error), f"{target.name} cannot be opened here, and no mend is named: {error}")
            return
        for cell in ("a", "b"):
            sink.start(cell, {"method": "at", "recipe.lr": 0.1, "ir": 10.0, "limit": None, "reduced": "epochs=1"})
        sink.row("a", 0, {"loss": 1.5, "pgd-20:0": 3.0})
        sink.scores("b", {"long-tailed/clean/balanced": 50.0})
        sink.end("b", "failed")
        sink.row("a", 1, {"loss": 1.25, "pgd-20:0": 4.0})
        sink.scores("a", {"long-tailed/aa/worst-class": 0.0})
        sink.end("a", "done")
        sink.close()
