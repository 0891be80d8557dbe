"""From counts per class to accuracies: balanced, standard, head, tail, worst class. Everything is a fraction in [0, 1].

A metric that is a weighted mean of the classes' recalls is defined by its weights alone (`AMOUNTS`), so its value, its
interval (`bench.judge.stats`) and its paired difference (`bench.judge.paired`) rest on one formula. The classes' axis
is the last one and runs from the most to the least frequent class of the training set; classes without test images
take no part.

    balanced   mean recall of the classes (paper, Sec. 5)
    standard   correct images over all images
    tail       mean recall of the floor(C/2) rarest classes; head: of the others
    tail-80    mean recall of the rarest 80 % of the classes, ceil(4C/5): the tail of RobustLT's paper
    prior-R    mean recall with the classes as frequent as at imbalance ratio R (`prior-50`): the accuracy on images so
               distributed, from any test split, so also from one whose rarest class is large
    worst-class  lowest recall of a class; the worst case over attacks (`worst`) is an attack, not a metric
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.errors import UsageError, did_you_mean
from bench.longtail import check_ir
from bench.store.counts import of_rows
from bench.store.schema import LATER, PER_CLASS

Floats = npt.NDArray[np.float64]

#: Columns of `per_class.csv` that differ between the classes of one evaluation
OF_A_CLASS = ("class_index", "class_name", "train_count", "n", "correct")
#: Columns that `summarise` keeps as they are
KEYS = tuple(name for name in (*PER_CLASS, *LATER) if name not in OF_A_CLASS)


def in_tail(n: Any) -> npt.NDArray[np.bool_]:
    """Bool ... x C: the floor(C/2) rarest classes of counts in the order of frequency."""
    classes = np.shape(n)[-1]
    return np.asarray(np.arange(classes) >= classes - classes // 2)


def in_most(n: Any) -> npt.NDArray[np.bool_]:
    """Bool ... x C: the ceil(4C/5) rarest classes of counts in the order of frequency."""
    classes = np.shape(n)[-1]
    return np.asarray(np.arange(classes) >= classes - -(-4 * classes // 5))


#: metric -> how much each class's recall counts (... x C, any scale), given the test images per class (... x C)
AMOUNTS: dict[str, Callable[[Any], Floats]] = {
    "balanced": lambda n: np.asarray(np.asarray(n) > 0, dtype=float),
    "standard": lambda n: np.asarray(n, dtype=float),
    "head": lambda n: np.asarray((np.asarray(n) > 0) & ~in_tail(n), dtype=float),
    "tail": lambda n: np.asarray((np.asarray(n) > 0) & in_tail(n), dtype=float),
    "tail-80": lambda n: np.asarray((np.asarray(n) > 0) & in_most(n), dtype=float),
}
#: what the metric of class frequencies is called, before its ratio
PRIOR = "prior-"
#: the metric that is no mean of recalls
WORST_CLASS = "worst-class"
#: All metrics in the order in which they are reported; `prior-R` is told where it is asked for
METRICS = (*AMOUNTS, WORST_CLASS)


def check_metric(name: str) -> str:
    """`name`, if it is that of a metric. Raises UsageError."""
    if name.startswith(PRIOR):
        _ratio_of(name)
    elif name not in METRICS:
        raise UsageError(f"--metric {name} is no metric. {did_you_mean(name, (*METRICS, PRIOR + 'R'))}")
    return name


def is_mean(name: str) -> bool:
    """Whether a metric is a weighted mean of the classes' recalls."""
    return name in AMOUNTS or name.startswith(PRIOR)


def _amounts(name: str, n: Any) -> Floats:
    """How much each class's recall counts in a metric (... x C, any scale). Raises KeyError for an unknown name."""
    if not name.startswith(PRIOR):
        return AMOUNTS[name](n)
    rank = np.arange(np.shape(n)[-1])
    return np.asarray((np.asarray(n) > 0) * _ratio_of(name) ** -(rank / max(rank[-1], 1)))


def _ratio_of(name: str) -> float:
    text = name.removeprefix(PRIOR)
    try:
        return check_ir(float(text))
    except ValueError:
        raise UsageError(f"--metric {name}: '{text}' is no imbalance ratio; write for instance {PRIOR}50.") from None


def recalls(n: Any, correct: Any) -> Floats:
    """Recall of each class, shape of `n`; NaN for a class without test images."""
    return _ratio(np.asarray(correct, dtype=float), np.asarray(n, dtype=float))


def weights(name: str, n: Any) -> Floats:
    """Weights (... x C, summing to 1) of the classes' recalls in a metric that `is_mean`; NaN where no class counts."""
    amounts = _amounts(name, n)
    return _ratio(amounts, np.broadcast_to(amounts.sum(axis=-1, keepdims=True), amounts.shape))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(np.shape(below), np.nan), where=np.asarray(below) > 0))


def metric(name: str, n: Any, correct: Any) -> Floats:
    """Metric `name` of counts `n`, `correct` (... x C, from the most to the least frequent class): shape (...).

    NaN where no class takes part. Raises KeyError for an unknown name.
    """
    recall = recalls(n, correct)
    if name == WORST_CLASS:
        lowest = np.where(np.isnan(recall), np.inf, recall).min(axis=-1)
        return np.where(np.isinf(lowest), np.nan, lowest)
    amounts = _amounts(name, n)
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
    found = list(enumerate(of_rows(rows)))
    for classes in sorted({len(counts.n) for _, (_, counts) in found}):
        some = [(position, first, counts) for position, (first, counts) in found if len(counts.n) == classes]
        lines = rows.iloc[[first for _, first, _ in some]][[k for k in KEYS if k in rows]].reset_index(drop=True)
        yield Block(
            lines,
            np.array([position for position, _, _ in some]),
            np.array([c.n for _, _, c in some], float),
            np.array([c.correct for _, _, c in some], float),
            np.array([c.names for _, _, c in some], object),
            np.array([c.index for _, _, c in some]),
        )


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One line an evaluation (cell, test split, attack), in order of first appearance.

    Columns: `KEYS`, `classes` (C), `n`, `correct` (totals), every metric of `METRICS` in [0, 1], and `worst_class`
    (name of the class with the lowest recall; the rarest of those that tie).
    """
    parts, positions = [], []
    for block in blocks(rows):
        recall = recalls(block.n, block.correct)
        lowest = recall.shape[1] - 1 - np.argmin(np.where(np.isnan(recall), np.inf, recall)[:, ::-1], axis=1)
        parts.append(
            block.lines.assign(
                classes=block.n.shape[1],
                n=block.n.sum(axis=1).astype(np.int64),
                correct=block.correct.sum(axis=1).astype(np.int64),
                **{name: metric(name, block.n, block.correct) for name in METRICS},
                worst_class=block.names[np.arange(len(lowest)), lowest],
            )
        )
        positions.append(block.position)
    if not parts:
        return pd.DataFrame(columns=[*KEYS, "classes", "n", "correct", *METRICS, "worst_class"])
    joined = pd.concat(parts, ignore_index=True)
    return joined.iloc[np.argsort(np.concatenate(positions))].reset_index(drop=True)
