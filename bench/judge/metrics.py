"""From counts per class to accuracies: balanced, standard, head, tail, worst class. Everything is a fraction in [0, 1].

A metric that is a weighted mean of the classes' recalls is defined by its weights alone (`AMOUNTS`), so its value, its
interval (`bench.judge.stats`) and its paired difference (`bench.judge.paired`) rest on one formula. The classes' axis
is the last one and runs from the most to the least frequent class of the training set; classes without test images
take no part.

    balanced   mean recall of the classes (paper, Sec. 5)
    standard   correct images over all images
    tail       mean recall of the floor(C/2) rarest classes; head: of the others
    worst      lowest recall of a class
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.errors import StoreError
from bench.store.schema import PER_CLASS

Floats = npt.NDArray[np.float64]

#: What makes one line: an evaluation of a cell
EVALUATION = ("cell", "test_split", "attack")
#: Columns of `per_class.csv` that differ between the classes of one evaluation
OF_A_CLASS = ("class_index", "class_name", "train_count", "n", "correct")
#: Columns that `summarise` keeps as they are
KEYS = tuple(name for name in PER_CLASS if name not in OF_A_CLASS)


def _in_tail(n: Any) -> npt.NDArray[np.bool_]:
    classes = np.shape(n)[-1]
    return np.asarray(np.arange(classes) >= classes - classes // 2)


#: metric -> how much each class's recall counts (... x C, any scale), given the test images per class (... x C)
AMOUNTS: dict[str, Callable[[Any], Floats]] = {
    "balanced": lambda n: np.asarray(np.asarray(n) > 0, dtype=float),
    "standard": lambda n: np.asarray(n, dtype=float),
    "head": lambda n: np.asarray((np.asarray(n) > 0) & ~_in_tail(n), dtype=float),
    "tail": lambda n: np.asarray((np.asarray(n) > 0) & _in_tail(n), dtype=float),
}
#: All metrics in the order in which they are reported
METRICS = (*AMOUNTS, "worst")


def recalls(n: Any, correct: Any) -> Floats:
    """Recall of each class, shape of `n`; NaN for a class without test images."""
    return _ratio(np.asarray(correct, dtype=float), np.asarray(n, dtype=float))


def weights(name: str, n: Any) -> Floats:
    """Weights (... x C, summing to 1) of the classes' recalls in a metric of `AMOUNTS`; NaN where no class counts."""
    amounts = AMOUNTS[name](n)
    return _ratio(amounts, np.broadcast_to(amounts.sum(axis=-1, keepdims=True), amounts.shape))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(np.shape(below), np.nan), where=np.asarray(below) > 0))


def metric(name: str, n: Any, correct: Any) -> Floats:
    """Metric `name` of counts `n`, `correct` (... x C, from the most to the least frequent class): shape (...).

    NaN where no class takes part. Raises KeyError for an unknown name.
    """
    recall = recalls(n, correct)
    if name == "worst":
        lowest = np.where(np.isnan(recall), np.inf, recall).min(axis=-1)
        return np.where(np.isinf(lowest), np.nan, lowest)
    amounts = AMOUNTS[name](n)
    return np.asarray(_ratio((amounts * np.nan_to_num(recall)).sum(axis=-1), amounts.sum(axis=-1)))


@dataclass(frozen=True)
class Block:
    """All evaluations with the same number of classes C: L lines and their counts as L x C matrices.

    Columns of the matrices run from the most to the least frequent class. `position` is where each line belongs in
    the order in which evaluations first appear in the rows.
    """

    lines: pd.DataFrame
    position: npt.NDArray[np.intp]
    n: Floats
    correct: Floats
    names: npt.NDArray[np.object_]
    index: npt.NDArray[np.int64]


def blocks(rows: pd.DataFrame) -> Iterator[Block]:
    """Rows of `per_class.csv` as matrices, one block for each number of classes.

    Raises StoreError when a class appears twice in an evaluation or has more correct images than images.
    """
    if rows.empty:
        return
    index = rows["class_index"].to_numpy(np.int64)
    trained = rows["train_count"].fillna(0).to_numpy(float)
    n, correct = rows["n"].to_numpy(float), rows["correct"].to_numpy(float)
    line = rows.groupby(list(EVALUATION), sort=False, dropna=False).ngroup().to_numpy()
    wrong = np.flatnonzero(~((correct >= 0) & (correct <= n)))
    if wrong.size:
        row = rows.iloc[wrong[0]]
        raise StoreError(f"{_where(row)}: class {row.class_index} has {row.correct} of {row.n} images correct; "
                         "run `bench verify` to find what was changed.")  # fmt: skip
    order = np.lexsort((index, line))
    twice = np.flatnonzero((np.diff(line[order]) == 0) & (np.diff(index[order]) == 0))
    if twice.size:
        row = rows.iloc[order[twice[0]]]
        raise StoreError(f"{_where(row)}: class {row.class_index} is there twice; keep one of the two evaluations.")
    order = np.lexsort((index, -trained, line))
    sizes = np.bincount(line)
    ends = np.cumsum(sizes)
    names = rows["class_name"].to_numpy(object)
    for classes in np.unique(sizes):
        position = np.flatnonzero(sizes == classes)
        at = order[(ends[position] - classes)[:, None] + np.arange(classes)]
        lines = rows.iloc[at[:, 0]][list(KEYS)].reset_index(drop=True)
        yield Block(lines, position, n[at], correct[at], names[at], index[at])


def _where(row: Any) -> str:
    return f"cell {row.cell}, {row.test_split} test split, attack {row.attack}"


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One line an evaluation (cell, test split, attack), in order of first appearance.

    Columns: `KEYS`, `classes` (C), `n`, `correct` (totals), every metric of `METRICS` in [0, 1], and `worst_class`
    (name of the class with the lowest recall; the rarest of those that tie).
    """
    parts, positions = [], []
    for block in blocks(rows):
        recall = recalls(block.n, block.correct)
        lowest = recall.shape[1] - 1 - np.argmin(np.where(np.isnan(recall), np.inf, recall)[:, ::-1], axis=1)
        parts.append(block.lines.assign(
            classes=block.n.shape[1],
            n=block.n.sum(axis=1).astype(np.int64),
            correct=block.correct.sum(axis=1).astype(np.int64),
            **{name: metric(name, block.n, block.correct) for name in METRICS},
            worst_class=block.names[np.arange(len(lowest)), lowest],
        ))  # fmt: skip
        positions.append(block.position)
    if not parts:
        return pd.DataFrame(columns=[*KEYS, "classes", "n", "correct", *METRICS, "worst_class"])
    joined = pd.concat(parts, ignore_index=True)
    return joined.iloc[np.argsort(np.concatenate(positions))].reset_index(drop=True)


def per_class(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a column `recall` in [0, 1] (NaN without test images)."""
    return rows.assign(recall=recalls(rows["n"].to_numpy(float), rows["correct"].to_numpy(float)))
