"""How sure a number is. Two uncertainties, each with its own interval, never mixed.

    sampling   other test images of the same classes: n_c images of class c, drawn independently (stratified)
    seeds      other training seeds: Student t over the seeds' values; one seed gives no interval

Sampling, metric a weighted mean of recalls (balanced, standard, head, tail): normal interval around the value with

    variance = sum_c w_c^2 v_c,     v_c: `bench.audit.recall.variance` of k of n correct

One class alone: Wilson's score interval. The worst class: bounds that hold for the smallest of C recalls
(`worst_class`). Anything else: stratified bootstrap. docs/statistics.md states the measured coverage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bench.audit.recall import variance
from bench.errors import UsageError
from bench.judge.metrics import WORST_CLASS, Floats, metric, recalls, weights
from bench.seeding import numpy_stream

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """`value` with `low` <= value <= `high`; `kind` is "sampling" or "seeds", `level` the nominal coverage."""

    value: float
    low: float
    high: float
    kind: str
    level: float = LEVEL
    method: str = ""

    @property
    def margin(self) -> float:
        """The larger of the two distances from the value to an end."""
        return max(self.high - self.value, self.value - self.low)


def two_sided_z(level: float) -> float:
    """The normal quantile of a two-sided interval: 1.96 at 0.95. Raises UsageError outside (0, 1)."""
    if not 0 < level < 1:
        raise UsageError(f"level={level} is not a coverage; give a number between 0 and 1, such as 0.95.")
    return float(special.ndtri((1 + level) / 2))


def wilson(n: Any, correct: Any, z: float) -> tuple[Floats, Floats]:
    """Wilson's score bounds of each class's recall, shape of `n`; (0, 1) where n is 0."""
    n, k = np.asarray(n, dtype=float), np.asarray(correct, dtype=float)
    safe = np.where(n > 0, n, 1.0)
    p = k / safe
    centre = (p + z * z / (2 * safe)) / (1 + z * z / safe)
    half = z / (1 + z * z / safe) * np.sqrt(np.clip(p * (1 - p), 0, None) / safe + z * z / (4 * safe * safe))
    # The bounds meet 0 and 1 exactly at k = 0 and k = n; rounding must not push them past the value.
    low, high = np.minimum(np.clip(centre - half, 0, 1), p), np.maximum(np.clip(centre + half, 0, 1), p)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)


def standard_error(name: str, n: Any, correct: Any) -> Floats:
    """Standard error of a metric that `is_mean`, counts ... x C: shape (...)."""
    return np.asarray(np.sqrt((weights(name, n) ** 2 * variance(n, correct)).sum(axis=-1)))


def weighted(name: str, n: Any, correct: Any, level: float = LEVEL) -> tuple[Floats, Floats, Floats]:
    """(value, low, high) of a metric that `is_mean` for counts ... x C (most to least frequent class)."""
    value, half = metric(name, n, correct), two_sided_z(level) * standard_error(name, n, correct)
    return value, np.clip(value - half, 0, 1), np.clip(value + half, 0, 1)


def worst_class(n: Any, correct: Any, level: float = LEVEL) -> tuple[Floats, Floats, Floats]:
    """(value, low, high) of the lowest recall, counts ... x C.

    Low: the smallest lower bound, for the truly worst class is one of them. High: the smallest upper bound at 1/C of
    the error, so that all C hold together. Bounds are Clopper and Pearson's, so the coverage is never below `level`.
    A percentile bootstrap of a minimum is biased downwards and misses when several classes are equally hard.
    """
    n, k = np.asarray(n, dtype=float), np.asarray(correct, dtype=float)
    two_sided_z(level)  # refuses an impossible level
    error = (1 - level) / 2
    classes = np.maximum((n > 0).sum(axis=-1, keepdims=True), 1)
    low = np.where(k > 0, special.betaincinv(np.maximum(k, 1e-9), n - k + 1, error), 0.0)
    high = np.where(k < n, special.betaincinv(k + 1, np.maximum(n - k, 1e-9), 1 - error / classes), 1.0)
    value = metric(WORST_CLASS, n, k)
    low, high = (np.where(n > 0, bound, 1.0).min(axis=-1) for bound in (low, high))
    return value, np.minimum(low, value), np.maximum(high, value)


def p_value(ends: Callable[[float], tuple[float, float]], least: float) -> float:
    """Two-sided p: twice the smallest error of one end, not below `least`, at which an interval keeps clear of 0.

    `ends`: (low, high) with this error at each end, wider for a smaller one. So p and interval cannot disagree.
    """

    def clear(error: float) -> bool:
        low, high = ends(error)
        return low > 0 or high < 0

    if not clear(0.5):
        return 1.0
    small, large = least, 0.5
    for _ in range(0 if clear(least) else 30):  # halvings of its logarithm
        middle = math.sqrt(small * large)
        small, large = (small, middle) if clear(middle) else (middle, large)
    return min(1.0, 2 * (small if clear(least) else large))


def sampling(
    name: str | Callable[[Floats, Floats], Floats], n: Any, correct: Any, level: float = LEVEL, draws: int = 4000
) -> Interval:
    """Sampling interval of a metric of one evaluation: counts of length C, most to least frequent class.

    `name` is one of `METRICS`, or a function of (n, correct) over the last axis, for which the bootstrap is taken.
    `correct` may be the mean over seeds: all seeds see the same images, so the interval does not shrink with seeds.
    """
    n, correct = np.asarray(n, dtype=float), np.asarray(correct, dtype=float)
    if callable(name):
        return bootstrap(name, n, correct, level, draws)
    if name == WORST_CLASS:
        return _interval(worst_class(n, correct, level), level, "lowest exact bounds")
    alone = np.flatnonzero(weights(name, n))
    if len(alone) == 1:
        return one_class(n[alone[0]], correct[alone[0]], level)
    return _interval(weighted(name, n, correct, level), level, "stratified normal")


def _interval(bounds: tuple[Any, Any, Any], level: float, method: str) -> Interval:
    value, low, high = map(float, bounds)
    return Interval(value, low, high, "sampling", level, method)


def one_class(n: float, correct: float, level: float = LEVEL) -> Interval:
    """Wilson interval of one class's recall; value NaN and [0, 1] without test images."""
    low, high = wilson(n, correct, two_sided_z(level))
    return Interval(float(recalls(n, correct)), float(low), float(high), "sampling", level, "Wilson")


def bootstrap(
    statistic: Callable[[Floats, Floats], Floats],
    n: Any,
    correct: Any,
    level: float = LEVEL,
    draws: int = 4000,
    seed: int = 0,
) -> Interval:
    """Stratified percentile bootstrap of `statistic(n, correct)` (last axis: classes), counts of length C.

    Images are drawn within their class, so a class's correct images are binomial; its rate is (k + 1/2)/(n + 1), so
    that classes with none or all correct still vary. Draws come from a stream of their own named by `seed`.
    """
    n, k = np.asarray(n, dtype=np.int64), np.asarray(correct, dtype=float)
    tail = (1 - level) / 2
    rate = (k + 0.5) / (n + 1)
    drawn = numpy_stream(seed, "bootstrap").binomial(n, rate, size=(draws, len(n)))
    low, high = np.quantile(statistic(np.broadcast_to(n, drawn.shape), drawn.astype(float)), [tail, 1 - tail])
    value = float(statistic(n.astype(float), k))
    return Interval(value, min(float(low), value), max(float(high), value), "sampling", level, "stratified bootstrap")


def over_seeds(
    values: Iterable[float], level: float = LEVEL, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval | None:
    """Student t interval of the mean over training seeds, cut to `bounds`; None with fewer than two seeds."""
    seeds = np.asarray([v for v in values if not math.isnan(v)], dtype=float)
    if len(seeds) < 2:
        return None
    mean = float(seeds.mean())
    two_sided_z(level)  # refuses an impossible level
    half = float(special.stdtrit(len(seeds) - 1, (1 + level) / 2)) * float(seeds.std(ddof=1)) / math.sqrt(len(seeds))
    low, high = max(mean - half, bounds[0]), min(mean + half, bounds[1])
    return Interval(mean, min(low, mean), max(high, mean), "seeds", level, "Student t")


@dataclass(frozen=True)
class Estimate:
    """A metric's mean over seeds with both intervals: `sampling` always, `seeds` from two seeds on."""

    value: float
    sampling: Interval
    seeds: Interval | None
    count: int


def estimate(name: str, n: Sequence[Any], correct: Sequence[Any], level: float = LEVEL) -> Estimate:
    """Metric `name` (of `METRICS`) over S seeds; `n`, `correct`: S x C counts, most to least frequent class.

    The sampling interval is that of one test set with the seeds' mean counts: the images are the same for every seed,
    so more seeds do not make them more. For the worst class the value is the mean of the seeds' own worst classes.
    """
    n2, k2 = np.atleast_2d(np.asarray(n, dtype=float)), np.atleast_2d(np.asarray(correct, dtype=float))
    values = metric(name, n2, k2)
    value, size = float(values.mean()), n2.mean(axis=0)
    inner = sampling(name, size, size * np.nan_to_num(recalls(n2, k2)).mean(axis=0), level)
    shift = value - inner.value
    moved = Interval(
        value,
        min(max(inner.low + shift, 0.0), value),
        max(min(inner.high + shift, 1.0), value),
        "sampling",
        level,
        inner.method,
    )
    return Estimate(value, moved, over_seeds(values, level), len(values))
