"""What every table keeps: it is drawn from a store in every format, and its cells fit its heads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.reports.model import Table
from bench.reports.render import write
from bench.reports.report import make
from bench.testing.contract import Target, require
from bench.testing.contract.shared import describes_itself

BASE = object


def checks(target: Target) -> Iterator[tuple[str, Callable[[], None]]]:
    """A store of one real cell, and the setting of that cell alone."""
    yield "describes itself", partial(describes_itself, target)
    yield "is drawn from a store", partial(from_a_store, target)


@cache
def tiny_store() -> tempfile.TemporaryDirectory[str]:
    """A folder with one cell of a second: plain training on a few digits. It goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="bench-contract-", ignore_cleanup_errors=True)
    axes = Axes(methods=("ce",), datasets=("digitslt",), attacks=("clean", "fgsm"), epochs=1, limit=5)
    (task,) = expand(axes)
    ended: list[dict[str, object]] = []
    run_cell(task, Settings(results=Path(folder.name)), ended.append)
    require(ended[-1]["event"] == "done", f"the cell for the tables could not be made: {ended[-1]}")
    return folder


def from_a_store(target: Target) -> None:
    """Each row has a cell a column and a label a head; all formats can be written; twice gives the same."""
    root = Path(tiny_store().name)
    for dataset in (None, "digitslt"):
        tables = make(root, tables=[target.name], figures=[], dataset=dataset).tables
        for table in tables:
            require(isinstance(table, Table), f"tables() gives a {type(table).__name__}, not a Table.")
            fits(table)
        again = make(root, tables=[target.name], figures=[], dataset=dataset).tables
        require(tables == again, "the same store gives two different tables.")
    with tempfile.TemporaryDirectory() as folder:
        write(make(root, tables=[target.name], figures=[]), Path(folder), ["html", "latex", "markdown", "csv"])


def fits(table: Table) -> None:
    """Rows, columns and heads of one table."""
    require(table.title and table.caption, f"the table '{table.key}' has no title or no caption.")
    for row in table.rows:
        require(
            len(row.cells) == len(table.columns),
            f"a row of '{table.title}' has {len(row.cells)} cells for {len(table.columns)} columns.",
        )
        require(
            len(row.labels) == len(table.heads),
            f"a row of '{table.title}' has {len(row.labels)} labels for {len(table.heads)} heads.",
        )
