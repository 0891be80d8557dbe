"""Learning-rate schedules of adversarial training.

Rates are functions of the time t in epochs, fractional inside an epoch. M is the largest rate (`lr`), E the number of
epochs. Rice (2020) and its descendants set the rate before every batch, at t = epoch + (i + 1) / batches with both from
0, so that the last batch of an epoch already has the next epoch's rate; others once an epoch. What is stated in epochs
of a published length is absolute here.

    steps        M times the factor of the last drop reached (`at` <= t)
    cosine       M (1 + cos(pi t / E)) / 2
    linear       through (0, M), (E//3, M), (2E//3, M/10), (E, M/100)
    triangle     0 to M at t = top, to 0 at E
    multi-decay  M - floor(t / (E/10)) M/10 (Rice's code takes E//10, the same where E is a multiple of ten)
    cycles       triangles of half a period, from `low` to M
    one-cycle    torch's OneCycleLR: M/25 to M, then to M/250000, both along half a cosine; momentum the other way round
    compounding  the factor of each epoch multiplies the current rate (RoBal)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

#: one-cycle: M over the first rate, the first rate over the last, and the momenta between which it moves
ONE_CYCLE_START, ONE_CYCLE_END, ONE_CYCLE_MOMENTA = 25.0, 1e4, (0.85, 0.95)


def steps(t: float, lr: float, drops: Sequence[tuple[float, float]]) -> float:
    """`drops`: (time, factor of the largest rate), times increasing."""
    reached = [factor for at, factor in drops if t >= at]
    return lr * reached[-1] if reached else lr


def cosine(t: float, lr: float, epochs: float) -> float:
    """Half a cosine."""
    return lr * 0.5 * (1 + math.cos(math.pi * t / epochs))


def interpolated(t: float, points: Sequence[tuple[float, float]]) -> float:
    """Linear between (time, rate) points, constant outside."""
    if t <= points[0][0]:
        return points[0][1]
    for (before, low), (after, high) in pairwise(points):
        if t <= after:
            return low + (high - low) * (t - before) / (after - before) if after > before else high
    return points[-1][1]


def linear(t: float, lr: float, epochs: int) -> float:
    """Constant for a third, then down in two straight lines."""
    return interpolated(t, [(0, lr), (epochs // 3, lr), (epochs * 2 // 3, lr / 10), (epochs, lr / 100)])


def triangle(t: float, lr: float, epochs: float, top: float) -> float:
    """Up and down once."""
    return interpolated(t, [(0, 0.0), (top, lr), (epochs, 0.0)])


def multi_decay(t: float, lr: float, epochs: float) -> float:
    """A tenth of M less every tenth of the training, which is rounded down to whole epochs as in the authors' code."""
    return lr - math.floor(t / max(epochs // 10, 1)) * (lr / 10)


def cycles(t: float, lr: float, half: float = 18.0, low: float = 1e-5) -> float:
    """Up and down again and again."""
    place = abs(t / half - 2 * math.floor(1 + t / (2 * half)) + 1)
    return low + (lr - low) * max(0.0, 1 - place)


def one_cycle(step: int, lr: float, total: int, rise: float) -> tuple[float, float]:
    """(rate, momentum) of a step from 0 of `total`; `rise`: share of the steps in which the rate rises.

    A rise of a single step begins at the top, where torch's divides by zero.
    """
    top, last = rise * total - 1, total - 1.0
    first, low, high = lr / ONE_CYCLE_START, *ONE_CYCLE_MOMENTA
    if step <= top:
        share, rates, momenta = step / top if top else 1.0, (first, lr), (high, low)
    else:
        share, rates, momenta = (step - top) / (last - top), (lr, first / ONE_CYCLE_END), (low, high)
    way = (1 + math.cos(math.pi * share)) / 2
    return rates[1] + (rates[0] - rates[1]) * way, momenta[1] + (momenta[0] - momenta[1]) * way


def compounding(epoch: int, lr: float, drops: Sequence[tuple[float, float]], warmup: int = 0, first: int = 1) -> float:
    """Rate of an epoch from 1: each epoch multiplies it by its factor, and by (e + 1)/warmup before `warmup`.

    `drops`: (epoch, factor from then on), as of `steps`; RoBal's is 0.1 for every drop passed. `first`: the first epoch
    of this stage, whose rate before its own factor is `lr`.
    """
    for e in range(first, epoch + 1):
        lr *= steps(e, 1.0, drops)
        if e < warmup:
            lr *= (e + 1) / warmup
    return lr
