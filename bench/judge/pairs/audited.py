"""What audits add to a paired difference: how far their late stages may move it.

Each audit's bound holds with an error of its own, independent of the images' part; the ends are put together as those
of independent errors (Zou and Donner, 2008). p is read from the interval, so the two cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.audit.images import Late
from bench.judge.metrics import Floats
from bench.judge.stats import p_value


@dataclass(frozen=True)
class Side:
    """The late stages of one audit in a mean over `seeds`, with class `weights`; `sign` is 1 where they belong to A."""

    late: Late
    weights: Floats
    sign: float
    seeds: int

    def reach(self, error: float) -> tuple[float, float]:
        """How far the difference may lie below and above its estimate."""
        down, up = self.late.reach(self.weights, error)
        return (down / self.seeds, up / self.seeds) if self.sign > 0 else (up / self.seeds, down / self.seeds)


def side(late: Late, weights: Mapping[int, float], sign: float, seeds: int) -> Side:
    """From weights by class."""
    return Side(late, np.array([weights.get(c, 0.0) for c in range(len(late.weight))]), sign, seeds)


def error(sides: Sequence[Side]) -> float:
    """About the standard error that the late stages add: half of what 95 % intervals of theirs span."""
    return math.sqrt(sum(max(some.reach(0.025)) ** 2 for some in sides)) / 1.96


def read(below: Floats, above: Floats, sides: Sequence[Side], value: float, level: float) -> tuple[float, float, float]:
    """(low, high, p) around value >= 0, from the images' melded draws (sorted) and the audits' bounds."""
    draws = len(below)

    def ends(error: float) -> tuple[float, float]:
        last = max(math.ceil(error * (draws + 1)) - 2, 0)
        reaches = [some.reach(error) for some in sides]
        down = math.hypot(value - min(float(below[last]), value), *(low for low, _ in reaches))
        up = math.hypot(max(float(above[-1 - last]), value) - value, *(high for _, high in reaches))
        return value - down, value + up

    low, high = ends((1 - level) / 2)
    return max(low, -1.0), min(high, 1.0), p_value(ends, 1 / (draws + 1)) if value else 1.0
