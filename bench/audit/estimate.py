"""What an audit says: the classes' robust shares, balanced robustness, and two intervals that are never mixed.

    audit       what the full chain on these very images would give
    sampling    what it would give on other test images of the same classes; holds the audit's error too

A class's share is its share right without attack times the survival shares of the stages: ratios in simple random
samples, unbiased up to the product of ratios. The late stages' share is the draws' (`bench.audit.late`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from bench.audit import recall
from bench.audit.late import bounds, rate

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """What was seen, a class each: test images `n`, right without attack `clean`; of the two early stages (2 x classes)
    `seen` images attacked and `stood` of them; of the late stages `draws` and `broken` draws (classes), after `look`.
    `whole`: the late stages saw every image that stood. `bound`: of the late share, above which further looks followed.
    """

    n: Floats
    clean: Floats
    seen: Floats
    stood: Floats
    draws: Floats
    broken: Floats
    look: int
    whole: bool = False
    bound: float = 0.0


@dataclass(frozen=True)
class Audited:
    """`early`, `shares`: share of each class before and after the late stages; `added`: variance that the audit adds.
    `late`: bounds of what the late stages take of everything; `audit`, `sampling`: (low, high) of balanced robustness
    `value`.
    """

    value: float
    early: Floats
    shares: Floats
    added: Floats
    late: tuple[float, float]
    audit: tuple[float, float]
    sampling: tuple[float, float]


def estimate(counts: Counts, level: float = 0.95) -> Audited:
    """Everything from the counts."""
    n, clean = np.asarray(counts.n, float), np.asarray(counts.clean, float)
    there = n > 0
    weight = there / max(there.sum(), 1)
    survive, relative, population = np.ones_like(n), np.zeros_like(n), clean.copy()
    for seen, stood in zip(counts.seen, counts.stood, strict=True):
        share = np.divide(stood, seen, out=np.ones_like(n), where=seen > 0)
        unseen = 1 - np.minimum(np.divide(seen, population, out=np.ones_like(n), where=population > 0), 1)
        relative += np.where(seen > 0, recall.relative(seen, stood) * unseen, unseen)
        survive, population = survive * share, population * share
    early = np.where(there, clean / np.maximum(n, 1) * survive, 0.0)
    added = early**2 * relative
    before = float((weight * early).sum())
    draws, broken = float(np.sum(counts.draws)), float(np.sum(counts.broken))
    taken = broken / draws if draws else 0.0
    low = high = taken
    if not counts.whole:
        low, high = bounds(int(broken), int(draws), counts.look, (1 - level) / 2)
        taken = min(max(rate(int(broken), int(draws), counts.look, counts.bound), low), high)
    belongs = np.divide(weight * early, before, out=np.zeros_like(n), where=before > 0)
    lost = np.divide(counts.broken, broken * belongs, out=np.zeros_like(n), where=broken * belongs > 0) * taken
    shares = early * (1 - np.minimum(lost, 1.0))
    value = before * (1 - taken)
    z = float(special.ndtri((1 + level) / 2))
    variance = float((weight**2 * added).sum()) * (1 - taken) ** 2
    test = float((weight**2 * recall.variance(n, shares * n)).sum())
    ends = (before * (high - taken), before * (taken - low))
    return Audited(
        value,
        early,
        shares,
        added,
        (low, high),
        _around(value, z * math.sqrt(variance), ends),
        _around(value, z * math.sqrt(variance + test), ends),
    )


def _around(value: float, half: float, ends: tuple[float, float]) -> tuple[float, float]:
    """Half a normal interval and the late stages' bounds, put together as independent errors (Zou and Donner, 2008)."""
    return max(value - math.hypot(half, ends[0]), 0.0), min(value + math.hypot(half, ends[1]), 1.0)
