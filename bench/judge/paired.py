"""Two networks on the same images: is one better, and how sure is that?

For every image the difference of two bits (1: correct) is -1, 0 or 1. Class c's difference d_c is its mean over the
class's images, the balanced difference d is the mean of the d_c. Being paired removes what makes an image hard for
both, so much smaller gaps can be told apart than from two separate intervals.

    images   melded bounds of d: what A alone gets right against what B alone does, drawn within classes (`_melded`)
    classes  McNemar's exact test: of the images that only one network gets right, is the split a fair coin's?
    seeds    Student t over the seeds' own differences; needs two seeds
    table    Holm's correction over all comparisons of a table

With several seeds an image's difference is its mean over the seeds, so each image is still drawn once, and the class
test asks how many images lean to either side. A verdict then needs both: it must hold for other images and for other
seeds (t); its p is the larger of the two, and the two are never added into one interval. With one seed a
verdict is about these two networks only. An audited evaluation takes part with what it says of every image; what its
late stages may still take widens the interval (`bench.judge.pairs.audited`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from bench.audit.images import Images
from bench.errors import StoreError, UsageError
from bench.judge.metrics import Floats
from bench.judge.pairs import audited
from bench.judge.stats import LEVEL, Interval, over_seeds, two_sided_z
from bench.seeding import numpy_stream

VERDICTS = ("better", "not distinguishable", "worse")
#: Draws of the melded differences; their smallest p is 2 / (DRAWS + 1)
DRAWS = 10_000
#: how far below what a correction asks the smallest p of finer draws lies, and the most draws that are taken for it
FINER, MOST_DRAWS = 4, 1_000_000
#: the highest level at which DRAWS still have an interval's ends
HIGHEST = 0.999


@dataclass(frozen=True)
class Bits:
    """One evaluation image by image: `index` in the source's test split, `label`, `correct` (bool), length N each.

    `over`: of a worst case, the attacks over which it is taken. `audit`: of an audited evaluation, what it says of
    every image; its `correct` is no verdict where the audit did not attack. `flags`: its validity flags.
    """

    index: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    correct: npt.NDArray[np.bool_]
    name: str = ""
    over: tuple[str, ...] = ()
    audit: Images | None = None
    flags: tuple[str, ...] = ()

    @property
    def value(self) -> Floats:
        """What each image adds to its class: its bit, or what an audit says of it."""
        return self.correct.astype(float) if self.audit is None else self.audit.value


@dataclass(frozen=True)
class ClassTest:
    """McNemar's test in one class: images, those that lean to A and to B, the difference d_c, the exact p."""

    label: int
    n: int
    only_a: int
    only_b: int
    difference: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """A minus B in balanced accuracy, as fractions. `per_seed`: each seed's own difference, in the order given.

    `images`: interval over other images; `seeds`: over other seeds (None with one). `error`: standard error from the
    images, `size`: how many distinct images there are, `one`: what one image more that disagrees would weigh. `finer`:
    p over images from so many draws, where it is drawn.
    """

    per_seed: tuple[float, ...]
    images: Interval
    p_images: float
    seeds: Interval | None
    p_seeds: float | None
    classes: tuple[ClassTest, ...]
    error: float
    size: int
    one: float = 0.0
    finer: Callable[[int], float] | None = field(default=None, repr=False, compare=False)

    @property
    def difference(self) -> float:
        """The mean over seeds of the balanced difference."""
        return self.images.value

    @property
    def p(self) -> float:
        """What the verdict rests on: the larger of both p where there are seeds, else the images' alone."""
        return max(self.p_images, self.p_seeds or 0.0)

    def drawn(self, draws: int) -> float:
        """The same, its part over images from so many draws where few of the usual ones lay beyond 0."""
        other = self.p_seeds or 0.0
        if self.finer is None or draws <= DRAWS or not other < self.p_images < FINER * 2 / DRAWS:
            return self.p
        return max(self.finer(draws), other)

    def verdict(self, adjusted: float | None = None, level: float = LEVEL) -> str:
        """A against B: better, not distinguishable or worse, by `adjusted` (default: this comparison's own p)."""
        certain = (self.p if adjusted is None else adjusted) < 1 - level
        return VERDICTS[1] if not certain or self.difference == 0 else VERDICTS[0 if self.difference > 0 else 2]


def compare(
    pairs: Sequence[tuple[Bits, Bits]],
    level: float = LEVEL,
    draws: int | None = None,
    seed: int = 0,
    weights: Mapping[int, float] | None = None,
) -> Comparison:
    """A against B, one pair of evaluations a training seed. `seed` names the private stream of the draws (None: DRAWS).

    `weights`: how much each class's difference counts, summing to 1; all classes alike without. Classes of weight 0
    take no part. The test of each class is left out where an audit does not know all of its verdicts.
    Raises StoreError when the two of a pair were not evaluated on the same images, UsageError for no pair.
    """
    if not pairs:
        raise UsageError("nothing to compare; give at least one pair of evaluations.")
    draws = draws or DRAWS
    two_sided_z(level)  # refuses an impossible level
    if level > HIGHEST:
        raise UsageError(f"level {level:g} is above {HIGHEST:g}, where {DRAWS:,} draws have no ends; give a lower one.")
    for a, b in pairs:
        same_images(a, b)
        same_attacks(a, b)
    labels = np.unique(np.concatenate([a.label for a, _ in pairs]))
    if weights is not None:
        labels = labels[[weights.get(int(label), 0.0) > 0 for label in labels]]
    over = np.full(len(labels), float(len(labels))) if weights is None else np.array([1 / weights[x] for x in labels])
    shares = [_shares(pairs, label) for label in labels]
    differences = np.array([[_class_difference(a, b, label) for label in labels] for a, b in pairs])
    per_seed = np.nanmean(differences, axis=1) if weights is None else _weighted(differences, 1 / over)
    value = float(np.round(per_seed.mean(), 12))
    sign = -1.0 if value < 0 else 1.0  # seen from the better of the two, so that B against A is A against B mirrored
    parts = [share * [sign, 1.0] / divisor for share, divisor in zip(shares, over, strict=True)]
    melded = _melded(parts, draws, numpy_stream(seed, "melded differences"))
    late = _late(pairs, {int(label): 1 / divisor for label, divisor in zip(labels, over, strict=True)}, sign)
    low, high, p_images = (
        audited.read(melded.below, melded.above, late, abs(value), level) if late else melded.read(abs(value), level)
    )
    ends = (low, high) if sign > 0 else (-high, -low)
    images = Interval(value, *ends, "sampling", level, "melded within classes")
    return Comparison(
        per_seed=tuple(map(float, per_seed)),
        images=images,
        p_images=p_images,
        seeds=over_seeds(per_seed, level, bounds=(-1.0, 1.0)),
        p_seeds=t_test(per_seed),
        classes=class_tests(pairs, labels),
        error=math.hypot(melded.error, audited.error(late)),
        size=sum(len(share) for share in shares),
        one=_unseen(parts),
        finer=lambda many: compare(pairs, level, many, seed, weights).p_images,
    )


def same_images(a: Bits, b: Bits) -> None:
    """Raises StoreError unless both were evaluated on the same images in one order."""
    same = len(a.index) == len(b.index) and (a.index == b.index).all() and (a.label == b.label).all()
    if not same:
        shared = len(np.intersect1d(a.index, b.index))
        raise StoreError(
            f"{a.name or 'A'} and {b.name or 'B'} were not evaluated on the same images ({shared} of {len(a.index)} "
            f"and {len(b.index)} are shared); compare cells with one test split, data set, ratio and selection."
        )


def same_attacks(a: Bits, b: Bits) -> None:
    """Raises StoreError unless two worst cases are over the same attacks."""
    if a.over != b.over:
        raise StoreError(
            f"the worst case of {a.name or 'A'} is over {', '.join(a.over)}, that of {b.name or 'B'} over "
            f"{', '.join(b.over)}; compare one attack, or run the same attacks for both."
        )


def _class_difference(a: Bits, b: Bits, label: int) -> float:
    mine = a.label == label
    return float(np.mean(a.value[mine] - b.value[mine])) if mine.any() else math.nan


def _shares(pairs: Sequence[tuple[Bits, Bits]], label: int) -> Floats:
    """What each distinct image of a class adds to the seeds' mean of d_c; one row (share, largest possible share)."""
    index, gain, most = [], [], []
    having = sum((a.label == label).any() for a, _ in pairs)
    for a, b in pairs:
        mine = a.label == label
        weight = 1.0 / (having * max(mine.sum(), 1))
        index.append(a.index[mine])
        difference = a.value[mine] - b.value[mine]
        gain.append(difference * weight)
        most.append(np.full(int(mine.sum()), weight * max(1.0, float(np.abs(difference).max(initial=0.0)))))
    _, at = np.unique(np.concatenate(index), return_inverse=True)
    return np.stack([np.bincount(at, np.concatenate(gain)), np.bincount(at, np.concatenate(most))], axis=1)


def _weighted(differences: Floats, weights: Floats) -> Floats:
    """Rows' means with these weights of the columns, over the columns that are there."""
    there = ~np.isnan(differences)
    return np.asarray((np.nan_to_num(differences) * weights).sum(axis=1) / (there * weights).sum(axis=1))


def _late(pairs: Sequence[tuple[Bits, Bits]], weights: Mapping[int, float], sign: float) -> list[audited.Side]:
    """What audits left to their late stages: on the side of the better (1) or the other (-1), as parts of the mean."""
    sides = [(bits.audit, side) for pair in pairs for bits, side in zip(pair, (sign, -sign), strict=True)]
    return [audited.side(audit.late, weights, side, len(pairs)) for audit, side in sides if audit is not None]


def _of_bits(pairs: Sequence[tuple[Bits, Bits]], label: int) -> list[tuple[Bits, Bits]]:
    """The pairs as bits alone where every verdict of a class is known; else nothing."""
    known = all(bits.audit is None or bits.audit.known[bits.label == label].all() for pair in pairs for bits in pair)
    return [(replace(a, audit=None), replace(b, audit=None)) for a, b in pairs] if known else []


@dataclass(frozen=True)
class _Melded:
    """Draws of where d may lie, seen from below and from above, sorted; `error`: their standard deviation."""

    below: Floats
    above: Floats
    error: float

    def read(self, value: float, level: float) -> tuple[float, float, float]:
        """(low, high, p) around value >= 0. p < 1 - level exactly where low > 0: one count decides both."""
        draws = len(self.below)
        beyond = int(np.searchsorted(self.below, 0.0, side="right"))
        p = min(1.0, 2 * (beyond + 1) / (draws + 1)) if value else 1.0
        last = max(math.ceil((1 - level) / 2 * (draws + 1)) - 2, 0)
        low, high = min(float(self.below[last]), value), max(float(self.above[-1 - last]), value)
        return max(low, -1.0) if value else min(low, 0.0), min(high, 1.0), p


def _melded(shares: Sequence[Floats], draws: int, rng: np.random.Generator) -> _Melded:
    """Fay, Proschan and Brittain's melding (Biometrics 2015) of the two sides' exact bounds, class by class.

    A count k of n has the lower bound of a Gamma(k) and the upper bound of a Gamma(k + 1), rates being small. So the
    smallest d that the images allow is A's share drawn from what was seen, less B's from what was seen and one image
    more that was not; the largest is the mirror of it. That image weighs as those that disagree do (`_unseen`).
    """
    drawn = sum((_drawn(share, _disagreement(shares), draws, rng) for share in shares), np.zeros(draws))
    weight = _unseen(shares)
    more = weight * rng.standard_exponential((2, draws))
    error = math.hypot(float(drawn.std()), weight)
    return _Melded(np.sort(drawn - more[0]), np.sort(drawn + more[1]), error)


def _unseen(shares: Sequence[Floats]) -> float:
    """Weight of one image more that disagrees: as those that do, by their part in d; as any image where none does."""
    share = np.concatenate(shares)
    seen = np.abs(share[:, 0] if (np.abs(share[:, 0]) > 1e-12).any() else share[:, 1])
    return float((seen**2).sum() / seen.sum())


def _disagreement(shares: Sequence[Floats]) -> float:
    """How often the two disagree on an image: the mean over the classes, at least one image in all."""
    rates = [float(np.mean((share[:, 0] / share[:, 1]) ** 2)) for share in shares]
    return max(float(np.mean(rates)), 1 / sum(len(share) for share in shares))


def _drawn(share: Floats, disagreement: float, draws: int, rng: np.random.Generator) -> Floats:
    """What a class adds to d, with the rates of its images' differences drawn anew: around what it added.

    The rates are a Dirichlet distribution's (a Gamma a distinct difference, over their sum). One image that disagrees
    as often as images do in all classes, either way, is added to the n there are: a class of few images without any
    disagreement is not certain. The factor makes the expected variance right for n = 1, 2, ...
    """
    n, swing = len(share), share[:, 1].max()
    values, counts = np.unique(np.round(share[:, 0], 12), return_counts=True)
    values = np.concatenate([values, [-swing, 0, swing]])
    counts = np.concatenate([counts, [disagreement / 2, 1 - disagreement, disagreement / 2]])
    gammas = rng.standard_gamma(counts, (draws, len(counts)))
    moved = n * (gammas @ values / gammas.sum(axis=1) - counts @ values / (n + 1))
    return np.asarray(share[:, 0].sum() + moved * math.sqrt((n + 1) ** 2 * (n + 2) / (n * (n * n + n + 1))))


def class_tests(pairs: Sequence[tuple[Bits, Bits]], labels: Any = None) -> tuple[ClassTest, ...]:
    """McNemar's test in each of these classes (default: all) of which every verdict is known."""
    chosen = np.unique(np.concatenate([a.label for a, _ in pairs])) if labels is None else labels
    return tuple(_class_test(int(x), _shares(bits, x)) for x in chosen if (bits := _of_bits(pairs, int(x))))


def _class_test(label: int, share: Floats) -> ClassTest:
    only_a, only_b = int((share[:, 0] > 1e-12).sum()), int((share[:, 0] < -1e-12).sum())
    return ClassTest(label, len(share), only_a, only_b, float(share[:, 0].sum()), float(mcnemar(only_a, only_b)))


def t_test(values: Floats) -> float | None:
    """Two-sided p of Student's t over the seeds' differences; None with one seed."""
    if len(values) < 2:
        return None
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    if error == 0:
        return 1.0 if values[0] == 0 else 0.0
    return float(2 * special.stdtr(len(values) - 1, -abs(float(np.mean(values))) / error))


def mcnemar(only_a: Any, only_b: Any) -> Floats:
    """Exact two-sided p of McNemar's test: `only_a`, `only_b` images that one of both gets right (any shape)."""
    only_a, only_b = np.asarray(only_a), np.asarray(only_b)
    return np.asarray(np.minimum(1.0, 2 * special.bdtr(np.minimum(only_a, only_b), only_a + only_b, 0.5)))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: below alpha where the family's error stays below alpha."""
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p, dtype=float)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(p) else scaled
    return [float(value) for value in adjusted]


def corrected(found: Sequence[Comparison], level: float = LEVEL) -> list[float]:
    """Holm's adjusted p of comparisons that are judged together, in the order given.

    The smallest p that draws can show must not fail by the number of comparisons alone: then it is drawn finer.
    """
    draws = min(math.ceil(FINER * 2 * len(found) / (1 - level)), MOST_DRAWS)
    return holm([one.drawn(draws) for one in found])
