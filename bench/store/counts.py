"""Counts per class of one evaluation, classes from the most to the least frequent of the training set.

They come from the rows of per_class.csv (`of_rows`) or from the bits (`from_bits`); both in one order, made here alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.errors import StoreError
from bench.store.schema import MOST

Ints = npt.NDArray[np.int64]
#: what makes one evaluation of a store's rows
EVALUATION = ("cell", "test_split", "attack")


@dataclass(frozen=True, eq=False)
class Counts:
    """C classes: `index` (0-based class of the data set), `names`, `train` images, `n` test images, `correct` ones.

    Names may repeat; classes are joined by their index.
    """

    index: Ints
    names: tuple[str, ...]
    train: Ints
    n: Ints
    correct: Ints

    @classmethod
    def from_bits(cls, label: Any, correct: Any, names: Sequence[str], train: Sequence[int]) -> Counts:
        """Counts of N images with their `label` (0-based class) and one bit each, for all classes."""
        label, right = np.asarray(label, dtype=np.int64), np.asarray(correct, dtype=bool)
        counted = (np.bincount(some, minlength=len(names)) for some in (label, label[right]))
        trained = np.asarray(train, dtype=np.int64)
        index = np.arange(len(names))
        order = by_frequency(index, trained, np.zeros_like(index))
        n, k = (np.asarray(c, dtype=np.int64)[order] for c in counted)
        return cls(index[order], tuple(names[i] for i in order), trained[order], n, k)

    def only(self, position: int) -> Counts:
        """One class alone, by its position in the order of frequency."""
        at = slice(position, position + 1)
        return Counts(self.index[at], self.names[at], self.train[at], self.n[at], self.correct[at])

    def by_class(self) -> dict[int, tuple[str, int, int]]:
        """Class index -> (name, n, correct)."""
        joined = zip(self.index.tolist(), self.names, self.n.tolist(), self.correct.tolist(), strict=True)
        return {i: (name, n, k) for i, name, n, k in joined}


def by_frequency(index: Ints, train: Ints, group: Ints) -> npt.NDArray[np.intp]:
    """The order of rows: by group, in it from the most to the least frequent class, equal ones by their index."""
    return np.lexsort((index, -train, group))


def of_rows(rows: pd.DataFrame) -> Iterator[tuple[int, Counts]]:
    """(position of its first row, counts) of every evaluation of a table, in the order in which they first appear.

    Raises StoreError, which names the cell, where counts are missing or impossible, or a class stands there twice.
    """
    if rows.empty:
        return
    wrong = complaint(rows)
    if wrong:
        raise StoreError(f"{wrong}; run `bench verify` to find what was changed.")
    column = {name: rows[name].to_numpy(np.int64) for name in ("class_index", "n", "correct")}
    train = rows["train_count"].fillna(0).to_numpy(np.int64)
    names = rows["class_name"].fillna("").to_numpy(object)
    line = evaluation_of(rows)
    order = by_frequency(column["class_index"], train, line)
    starts = np.flatnonzero(np.diff(line[order], prepend=-1))
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # one tuple of names for all evaluations of a data set
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        at = order[start:stop]
        own = tuple(map(str, names[at]))
        n, k = column["n"][at], column["correct"][at]
        yield int(at.min()), Counts(column["class_index"][at], shared.setdefault(own, own), train[at], n, k)


def evaluation_of(rows: pd.DataFrame) -> Ints:
    """The number of each row's evaluation, counted in the order of first appearance."""
    return rows.groupby(list(EVALUATION), sort=False, dropna=False).ngroup().to_numpy().astype(np.int64)


def complaint(rows: pd.DataFrame) -> str:
    """What is impossible in the counts of a table, naming the first row of it; empty when nothing is."""
    known = rows[["class_index", "n", "correct"]].notna().all(axis=1).to_numpy(bool)
    if not known.all():
        return f"{_place(rows.iloc[int(np.argmin(known))])}: a row lacks its class or its counts"
    index, n, correct = (rows[name].to_numpy(np.int64) for name in ("class_index", "n", "correct"))
    train = rows["train_count"].fillna(0).to_numpy(np.int64)
    sound = (correct >= 0) & (correct <= n) & (n < MOST) & (index >= 0) & (index < MOST) & (train >= 0) & (train < MOST)
    if not sound.all():
        row = rows.iloc[int(np.argmin(sound))]
        return f"{_place(row)}: class {row.class_index} has {row.correct} of {row.n} images correct"
    line = evaluation_of(rows)
    order = by_frequency(index, np.zeros_like(index), line)
    twice = np.flatnonzero((np.diff(line[order]) == 0) & (np.diff(index[order]) == 0))
    if twice.size:
        row = rows.iloc[int(order[twice[0]])]
        return f"{_place(row)}: class {row.class_index} is there twice"
    return ""


def _place(row: Any) -> str:
    return f"cell {row.cell}, {row.test_split} test split, attack {row.attack}"
