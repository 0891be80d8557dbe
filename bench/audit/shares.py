"""What an audit says of any weighted mean of the classes' shares, and of the lowest: from what cell.json keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from bench.audit.images import Late, late_of
from bench.audit.kept import Kept

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shares:
    """Robust share of each class of `n` test images, the variance that the audit adds to it, and the late stages."""

    n: Floats
    share: Floats
    added: Floats
    late: Late

    @classmethod
    def of(cls, facts: Kept, n: Sequence[int], order: Sequence[int]) -> Shares:
        """From an audit's facts, test images by class, and the order in which the classes are to stand."""
        sizes, at = np.asarray(n, dtype=float), np.asarray(order, dtype=np.int64)
        late = late_of(facts, sizes)
        moved = Late(late.draws, late.broken, late.look, late.weight[at], late.early[at], late.lost[at])
        return cls(sizes[at], np.asarray(facts.shares, float)[at], np.asarray(facts.added, float)[at], moved)

    def mean(self, weights: Floats, level: float = 0.95, others: bool = True) -> tuple[float, float, float]:
        """(value, low, high) with these class weights: over other test images, or of the full chain on these very ones.

        Half a normal interval and the late stages' bounds, put together as independent errors (Zou and Donner, 2008).
        """
        value = float((weights * self.share).sum())
        left = np.divide(self.share, self.late.early, out=np.ones_like(self.share), where=self.late.early > 0)
        smooth = (self.share * self.n + 1) / (self.n + 2)
        variance = self.added * left**2
        if others:
            variance = variance + smooth * (1 - smooth) / np.maximum(self.n, 1)
        half = float(special.ndtri((1 + level) / 2)) * math.sqrt(float((weights**2 * variance).sum()))
        down, up = self.late.reach(weights, (1 - level) / 2)
        return value, max(value - math.hypot(half, down), 0.0), min(value + math.hypot(half, up), 1.0)

    def lowest(self, level: float = 0.95) -> tuple[float, float, float]:
        """(value, low, high) of the lowest share: the smallest lower end of any class, and the smallest upper end at a
        level at which all hold together. A plan made for the mean of classes makes it wide.
        """
        there = np.flatnonzero(self.n > 0)
        each = [np.eye(len(self.n))[c] for c in there]
        lows = [self.mean(weights, level)[1] for weights in each]
        highs = [self.mean(weights, 1 - (1 - level) / len(there))[2] for weights in each]
        return float(self.share[there].min()), min(lows), min(highs)
