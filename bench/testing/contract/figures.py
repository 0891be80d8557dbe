"""What every figure keeps: it is drawn from a store or says what it lacks, and gives the same bytes each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.reports.model import Figure
from bench.reports.report import make
from bench.testing.contract import Target, require
from bench.testing.contract.shared import describes_itself
from bench.testing.contract.tables import tiny_store

BASE = object
#: how a file of each kind begins
BEGINNINGS = {"svg": b"<?xml", "pdf": b"%PDF"}


def checks(target: Target) -> Iterator[tuple[str, Callable[[], None]]]:
    """A store of one real cell, and the setting of that cell alone."""
    yield "describes itself", partial(describes_itself, target)
    yield "is drawn from a store", partial(from_a_store, target)


def from_a_store(target: Target) -> None:
    """Every figure has a title and a caption, and a text beside its files for who cannot see them."""
    root = Path(tiny_store().name)
    for dataset in (None, "digitslt"):
        first, again = (make(root, tables=[], figures=[target.name], dataset=dataset).figures for _ in range(2))
        for figure in first:
            require(isinstance(figure, Figure), f"figures() gives a {type(figure).__name__}, not a Figure.")
            require(figure.title and figure.caption, f"the figure '{figure.key}' has no title or no caption.")
            require(not figure.files or figure.alt, f"'{figure.title}' is drawn, and has no text in its place.")
            for suffix, body in figure.files.items():
                require(body.lstrip().startswith(BEGINNINGS[suffix]), f"'{figure.title}' is no {suffix}.")
        require(first == again, "the same store gives two different figures.")
