"""Audited evaluations of a store: shares with intervals in place of counts, wherever numbers are shown or judged.

An audit's number is never its full attack's: it keeps its own label and says in words what it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.audit.kept import Kept
from bench.audit.shares import Shares
from bench.judge import stats
from bench.judge.evaluations import Evaluation, class_names
from bench.judge.metrics import AMOUNTS, WORST_CLASS, metric, weights
from bench.store.counts import Counts
from bench.store.flags import audit_flags
from bench.store.parts.record import CellRecord, EvaluationFacts, Key
from bench.store.where import Where


@dataclass(frozen=True, eq=False)
class Audited(Evaluation):
    """An evaluation of a part of the images. `counts` holds the test images; its `correct` is the estimate, rounded.

    `shares` runs from the most to the least frequent class, as `counts` does.
    """

    shares: Shares = field(kw_only=True)

    @property
    def correct(self) -> npt.NDArray[np.float64]:
        """The estimate as it is."""
        estimated: npt.NDArray[np.float64] = self.shares.share * self.shares.n
        return estimated

    def numbers(self) -> Iterator[tuple[str, float, float]]:
        """(name, value, standard error over other test images, the audit's included) of everything compared."""
        n = self.counts.n
        for name in AMOUNTS:
            if not np.isnan(w := weights(name, n)).any():
                yield name, *_error(self.shares.mean(w))
        for i, name in enumerate(class_names(self.counts)):
            if n[i] > 0:
                yield name, *_error(self.shares.mean(np.eye(len(n))[i]))


def _error(ends: tuple[float, float, float]) -> tuple[float, float]:
    """(value, half of what the wider end spans, in standard errors)."""
    value, low, high = ends
    return value, max(value - low, high - value) / stats.two_sided_z(stats.LEVEL)


def audits(cells: Iterable[CellRecord]) -> Iterator[Audited]:
    """Every evaluation of these cells that left images out."""
    for cell in cells:
        for text, facts in cell.evaluations.items():
            if facts.audit is not None and not facts.counted:
                yield _read(cell, Key.of(text), facts, facts.audit)


def _read(cell: CellRecord, key: Key, facts: EvaluationFacts, audit: Kept) -> Audited:
    place = dataclasses.replace(cell.place, test_split=key.split, attack=key.attack)
    where = Where.of_row(place.row(), cell.made.ir is None)
    train, n = (np.asarray(some, dtype=np.int64) for some in (cell.seen.train_counts, cell.seen.test_counts[key.split]))
    order = np.asarray(cell.seen.frequent_first)
    shares = Shares.of(audit, n.tolist(), order.tolist())
    names = tuple(cell.seen.class_names[i] for i in order)
    counts = Counts(order.astype(np.int64), names, train[order], n[order], np.rint(shares.share * n[order]).astype(int))
    words = next((note for note in reversed(facts.notes) if note.startswith("audit of")), "")
    return Audited(
        cell.id,
        where,
        counts,
        engine="bench",
        flags=audit_flags(cell, key.split, key.attack),
        chain=audit.continues,
        words=words,
        shares=shares,
    )


def estimate(name: str, seeds: Sequence[tuple[Any, Any, Shares | None]], position: int | None = None) -> stats.Estimate:
    """A metric (or with `position` the recall of that class) over seeds: (n, correct, shares where it is an audit).

    The interval over images is the mean of the seeds' own: all see the same images. Seeds as in `stats.estimate`.
    """
    found = [_one(name, n, correct, shares, position) for n, correct, shares in seeds]
    value, low, high = (float(np.mean(some)) for some in zip(*found, strict=True))
    values = np.array([one for one, _, _ in found])
    images = stats.Interval(value, low, high, "sampling", stats.LEVEL, "audit")
    return stats.Estimate(value, images, stats.over_seeds(values, stats.LEVEL), len(found))


def _one(name: str, n: Any, correct: Any, shares: Shares | None, position: int | None) -> tuple[float, float, float]:
    if shares is None:
        if position is not None:
            n, correct, name = n[position : position + 1], correct[position : position + 1], "balanced"
        inner = stats.sampling(name, n, correct)
        return inner.value, inner.low, inner.high
    if position is not None:
        return shares.mean(np.eye(len(shares.n))[position])
    if name == WORST_CLASS:
        return shares.lowest()
    chosen = weights(name, shares.n)
    if np.isnan(chosen).any():
        nothing = float(metric(name, shares.n, shares.share))
        return nothing, math.nan, math.nan
    return shares.mean(chosen)
