"""How many images of each class each early stage sees, so that a stated sampling error costs least (Neyman).

Of a class with M images that are right without attack, the first t_1 in audit order meet stage 1, those of the first
t_2 <= t_1 that still stand meet stage 2. Survival shares s_1, s_2 then have the variances s(1 - s)/m (1 - m/M') for m
sampled of M', and the class's robust share a s_1 s_2 (a: right without attack, known of every image) has

    a^2 [ s_2^2 s_1 (1 - s_1) / t_1 (1 - t_1 / M) + s_1 s_2 (1 - s_2) / t_2 (1 - t_2 / M) ]

to first order, at the cost t_1 c_1 + t_2 s_1 c_2. So t_1 ~ w a s_2 sqrt(s_1 (1 - s_1) / c_1) and
t_2 ~ w a sqrt(s_2 (1 - s_2) / c_2), with one factor for all classes, found by bisection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.audit import recall

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: images of each class that every early stage sees before the plan is made
PILOT = 24
#: fewest and most images by which a class's pilot is drawn towards all classes' (`_prior`): where few of a pilot break
#: by luck a size that follows them stays small, and the luck stays in the estimate
PRIOR = (5.0, 1000.0)
#: part of the variance allowed that the early stages may take; the rest is left to the late stages' bound
EARLY_PART = 0.7


@dataclass(frozen=True)
class Goal:
    """What a plan is for: at most `widening` times the full evaluation's standard error, `half_width` (of the 95 %
    interval over test images, as a fraction) or `budget` (passes an image of the set), whichever is given first.
    """

    widening: float = 1.1
    half_width: float | None = None
    budget: float | None = None


@dataclass(frozen=True)
class Rates:
    """What the pilot says, a class each: test images `n`, right without attack `clean`, survival shares of stages 1, 2
    (never 0 or 1), and the passes an image costs in either.
    """

    n: Ints
    clean: Ints
    first: Floats
    second: Floats
    cost: tuple[float, float]

    @property
    def weights(self) -> Floats:
        """Of the classes' recalls in balanced accuracy."""
        there = (self.n > 0).astype(float)
        return np.asarray(there / max(float(there.sum()), 1.0))

    def full(self) -> float:
        """Variance of the full evaluation's balanced robustness, over test sets, as its interval has it."""
        return float((self.weights**2 * recall.variance(self.n, self.clean * self.first * self.second)).sum())

    def audit(self, first: Ints, second: Ints) -> float:
        """Variance that sampling adds, with `first` and `second` images of each class."""
        m, one, two = np.maximum(self.clean, 1), np.maximum(first, 1), np.maximum(second, 1)
        share, met = self.clean / np.maximum(self.n, 1) * self.first * self.second, two * self.first
        early = recall.relative(one, one * self.first) * (1 - np.minimum(one / m, 1))
        late = recall.relative(met, met * self.second) * (1 - np.minimum(two / m, 1))
        return float((self.weights**2 * share**2 * (early + late)).sum())

    def passes(self, first: Ints, second: Ints) -> float:
        """What the two early stages cost, in passes."""
        return float((first * self.cost[0] + second * self.first * self.cost[1]).sum())


def pilot_rates(n: Ints, clean: Ints, seen: Floats, stood: Floats, cost: tuple[float, float]) -> Rates:
    """Rates from the pilot: `seen`, `stood` (2 x classes) images that each early stage attacked and did not break.

    A class's share is drawn towards all classes' by as many images as the classes are alike.
    """
    shares = []
    for attacked, left in zip(seen, stood, strict=True):
        together = float((left.sum() + 1) / (attacked.sum() + 2))
        prior = _prior(attacked, left, together)
        shares.append((left + prior * together) / (attacked + prior))
    return Rates(n, clean, shares[0], shares[1], cost)


def _prior(seen: Floats, stood: Floats, together: float) -> float:
    """Images by which a class's share counts as all classes' `together`, p: many where the classes are alike.

    With B the variance between classes, (stood / seen - p)^2 is p (1 - p) / seen + B (1 - 1 / seen) in expectation; a
    beta distribution of the classes' shares with that B counts p (1 - p) / B - 1 images (method of moments).
    """
    seen, stood = seen[seen > 1], stood[seen > 1]
    if not len(seen):
        return PRIOR[1]
    chance = together * (1 - together)
    between = float(np.mean(((stood / seen - together) ** 2 - chance / seen) * seen / (seen - 1)))
    return float(np.clip(chance / between - 1, *PRIOR)) if between > 0 else PRIOR[1]


def allocate(rates: Rates, goal: Goal, pilot: int = PILOT) -> tuple[Ints, Ints]:
    """Images of each class that the first and the second early stage see; never fewer than the pilot's."""
    rise = rates.weights * rates.clean / np.maximum(rates.n, 1)
    one = rise * rates.second * np.sqrt(rates.first * (1 - rates.first) / rates.cost[0])
    two = rise * np.sqrt(rates.second * (1 - rates.second) / rates.cost[1])
    least = np.minimum(pilot, rates.clean)

    def sizes(factor: float) -> tuple[Ints, Ints]:
        second = np.clip(np.ceil(factor * two), least, rates.clean).astype(np.int64)
        first = np.clip(np.ceil(factor * one), second, rates.clean).astype(np.int64)
        return first, second

    def enough(factor: float) -> bool:
        first, second = sizes(factor)
        if goal.budget is not None:
            return rates.passes(first, second) >= goal.budget * float(rates.n.sum())
        return rates.audit(first, second) <= allowed(rates, goal)

    low, high = 0.0, 1.0
    while not enough(high) and (sizes(high)[1] < rates.clean).any():
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return sizes(low if goal.budget is not None else high)


def allowed(rates: Rates, goal: Goal) -> float:
    """Variance that sampling in the early stages may add."""
    return EARLY_PART * room(rates, goal)


def room(rates: Rates, goal: Goal) -> float:
    """Variance that the audit as a whole may add; of a budget, what the default widening would."""
    if goal.half_width is not None and goal.budget is None:
        return max((goal.half_width / 1.959964) ** 2 - rates.full(), 0.0)
    return (goal.widening**2 - 1) * rates.full()


def tolerance(rates: Rates, goal: Goal) -> float:
    """The share that the late stages may still take, by its bound, without widening the interval beyond the goal.

    The bound moves one end of the interval, so it may take twice what the early stages leave.
    """
    left = (1 - EARLY_PART) * 2 * room(rates, goal)
    value = float((rates.weights * rates.clean / np.maximum(rates.n, 1) * rates.first * rates.second).sum())
    return 1.959964 * float(np.sqrt(left)) / max(value, 1e-9)
