"""What was counted and where it stands: the one form in which rows of a store are checked, tabled and compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.judge.metrics import AMOUNTS, metric, recalls
from bench.judge.stats import standard_error, variance
from bench.store.counts import Counts, of_rows
from bench.store.parts.record import CellRecord
from bench.store.rows import WORST, attacks_of_worst
from bench.store.where import Where

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
    return [f"class {name}" + (f" ({i})" if name in twice else "")
            for name, i in zip(counts.names, counts.index.tolist(), strict=True)]  # fmt: skip


def evaluations(rows: pd.DataFrame, cells: Mapping[str, CellRecord] | None = None) -> Iterator[Evaluation]:
    """Every evaluation of the rows with its counts. Raises StoreError as `counts.of_rows`.

    `cells`: what is known of their cells; rows alone do not say which attacks share a radius, nor whose ratio it is.
    """
    known = cells or {}
    over = attacks_of_worst(rows, known)
    column = {name: rows[name].astype(object).to_numpy() for name in rows.columns}
    for first, counts in of_rows(rows):
        row = {name: values[first] for name, values in column.items()}
        cell, worst = str(row["cell"]), row["attack"] == WORST
        where = Where.of_row(row, known[cell].made.ir is None if cell in known else None)
        attacks = over[cell, row["test_split"]] if worst else ()
        yield Evaluation(cell, where, counts, attacks, row["engine"], tuple(row["flags"].split()))
