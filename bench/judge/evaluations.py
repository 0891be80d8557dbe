"""What was counted and where it stands: the one form in which rows of a store are checked, tabled and compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.audit.recall import variance
from bench.judge.metrics import AMOUNTS, metric, recalls
from bench.judge.stats import standard_error
from bench.store.counts import Counts, of_rows
from bench.store.parts.record import CellRecord
from bench.store.rows import WORST, attacks_of_worst
from bench.store.where import FIELDS, Where

Amounts = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One evaluation of a cell: where it stands and what was counted, classes from the most to the least frequent.

    `over`: the attacks of a worst case. `chain`: of an audit, the full attack that it is a part of; `words`: what it
    found, in a line.
    """

    cell: str
    where: Where
    counts: Counts
    over: tuple[str, ...] = ()
    engine: str = ""
    flags: tuple[str, ...] = ()
    chain: str = ""
    words: str = ""

    @property
    def seed(self) -> int:
        """The seed of the training."""
        return int(self.where.seed or 0)

    @property
    def n(self) -> Amounts:
        """Test images of each class."""
        return self.counts.n

    @property
    def correct(self) -> Amounts:
        """How many of them are classified correctly; of an audit an estimate."""
        return self.counts.correct

    def numbers(self) -> Iterator[tuple[str, float, float]]:
        """(name, value, standard error) of everything that is compared."""
        n, correct = self.counts.n, self.counts.correct
        for name in AMOUNTS:
            value = float(metric(name, n, correct))
            if not math.isnan(value):
                yield name, value, float(standard_error(name, n, correct))
        recall, errors = recalls(n, correct), np.sqrt(variance(n, correct))
        for name, value, error, images in zip(class_names(self.counts), recall, errors, n, strict=True):
            if images > 0:
                yield name, float(value), float(error)


def class_names(counts: Counts) -> list[str]:
    """`class frog`; with its index too where two classes have one name."""
    twice = {name for name, often in Counter(counts.names).items() if often > 1}
    return [
        f"class {name}" + (f" ({i})" if name in twice else "")
        for name, i in zip(counts.names, counts.index.tolist(), strict=True)
    ]


def evaluations(rows: pd.DataFrame, cells: Mapping[str, CellRecord] | None = None) -> Iterator[Evaluation]:
    """Every evaluation of the rows with its counts. Raises StoreError as `counts.of_rows`.

    `cells`: what is known of their cells; rows alone do not say which attacks share a radius, nor whose ratio it is.
    """
    known = cells or {}
    over = attacks_of_worst(rows, known)
    own = ("cell", "test_split", "attack", "engine", "flags")
    shared = [name for name, f in FIELDS.items() if f.metadata["stored"] and name in rows and name not in own]
    mine, others = ([rows[name].to_numpy(object) for name in names] for names in (own, shared))
    places: dict[tuple[Any, ...], Where] = {}  # most rows of a cell differ in split and attack alone
    for first, counts in of_rows(rows):
        cell, split, attack, engine, flags = (values[first] for values in mine)
        values = tuple(some[first] for some in others)
        place = places.get((cell, *values))
        if place is None:
            natural = known[cell].made.ir is None if cell in known else None
            place = places[cell, *values] = Where.of_row(dict(zip(shared, values, strict=True)), natural)
        where = replace(place, test_split=split, attack=attack)
        attacks = over[cell, split] if attack == WORST else ()
        yield Evaluation(cell, where, counts, attacks, engine, tuple(flags.split()))
