"""What an audit says image by image, so that it can be paired with another evaluation of the same images.

Every image contributes a number whose mean over its class is the class's estimated share: with s_1, s_2 the survival
shares of the early stages, of M images right without attack the first t_1 and t_2 of which met them,

    c s_1 s_2 + [first t_1] M / t_1 c (u_1 - s_1) s_2 + [first t_2] M / t_2 c u_1 (u_2 - s_2)

where c, u_1, u_2 say whether the image is right, stands stage 1, and then stage 2 (Horvitz and Thompson's weights on
what a stage's verdict changes). Where every image was attacked this is the image's bit. Its spread over the images is
the error over other test images, the audit's own included, and what two networks share drops out of their difference.
The late stages' share is not of single images: `Late` says how far it may move the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.audit.kept import Kept
from bench.audit.late import bounds
from bench.audit.order import Ints, ordered

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Late:
    """The late stages of an audit: `broken` of `draws` after a `look`; by class its `weight` in balanced accuracy, its
    share `early` before them, and what they take of that by the estimate (`lost`).
    """

    draws: int
    broken: int
    look: int
    weight: Floats
    early: Floats
    lost: Floats

    def reach(self, weights: Floats, error: float) -> tuple[float, float]:
        """How far a mean with these class weights may lie below and above its estimate, each with this error.

        Draws are weighted for balanced accuracy. For other weights the bound holds wherever the loss falls: it counts
        by the class with the largest ratio of weights, or the smallest.
        """
        before = float((self.weight * self.early).sum())
        taken = float((weights * self.lost).sum())
        there = self.weight > 0
        ratio = weights[there] / self.weight[there]
        low, high = bounds(self.broken, self.draws, self.look, error)
        return max(before * high * float(ratio.max()) - taken, 0.0), max(taken - before * low * float(ratio.min()), 0.0)


@dataclass(frozen=True)
class Images:
    """N images: what each contributes, whether its verdict under the whole chain is known; by class the variance that
    the audit adds to its share (`added`), and the late stages.
    """

    value: Floats
    known: Bools
    added: Floats
    late: Late


def images(codes: Ints, index: Ints, label: Ints, clean: Bools, facts: Kept, stages: int) -> Images:
    """From `reached` codes, the images and their classes, which are right without attack, and the audit's facts."""
    classes = len(facts.shares)
    passed, stands = codes // 2, codes % 2 == 1
    value = np.zeros(len(codes))
    n = np.bincount(label, minlength=classes).astype(float)
    late = late_of(facts, n)
    left = np.divide(late.early - late.lost, late.early, out=np.zeros(classes), where=late.early > 0)
    for c, members in enumerate(ordered(index, label, classes)):
        right = members[clean[members]]
        if not len(right):
            continue
        seen, stood = (np.array([some[stage][c] for stage in (0, 1)], float) for some in (facts.seen, facts.stood))
        survive = np.divide(stood, seen, out=np.ones(2), where=seen > 0)
        each = np.full(len(right), survive[0] * survive[1])
        for stage, rest, size in ((0, survive[1], facts.plan.first[c]), (1, 1.0, facts.plan.second[c])):
            some = right[: int(size)]
            met = passed[some] >= stage  # those that stood what comes before
            stood_it = (passed[some] > stage) & met
            each[: len(some)] += len(right) / max(len(some), 1) * met * (stood_it - survive[stage]) * rest
        value[right] = each * left[c]
    return Images(value, ~clean | ~stands | (passed >= stages), np.asarray(facts.added, dtype=float), late)


def late_of(facts: Kept, n: Floats) -> Late:
    """The late stages from an audit's facts, with the test images of each class."""
    early, shares = (np.asarray(some, dtype=float) for some in (facts.early, facts.shares))
    weight = (n > 0) / max(int((n > 0).sum()), 1)
    draws, broken = (round(sum(some)) for some in (facts.draws, facts.broken))
    return Late(draws, broken, facts.look, weight, early, early - shares)
