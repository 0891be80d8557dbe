"""Two networks by the lowest recall of a class: no mean over images, so no image's difference says what it adds.

Each network's lowest recall has exact bounds of its own (`bench.judge.stats.worst_class`). Their difference lies
between the one's low less the other's high and the reverse, each at half the error, however their images hang together:
wide, and never wrong by the pairing. With several seeds the ends are their mean, as all seeds see the same images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.errors import StoreError
from bench.judge.metrics import WORST_CLASS, metric
from bench.judge.paired import DRAWS, Bits, Comparison, class_tests, same_images, t_test
from bench.judge.stats import LEVEL, Interval, over_seeds, p_value, two_sided_z, worst_class


def compare_lowest(pairs: Sequence[tuple[Bits, Bits]], level: float = LEVEL) -> Comparison:
    """A against B in the lowest recall of a class, one pair a training seed. Raises StoreError as `paired.compare`.

    An audit does not know all images of a class: StoreError.
    """
    for a, b in pairs:
        same_images(a, b)
        for bits in (a, b):
            if bits.audit is not None:
                raise StoreError(
                    f"{bits.name or 'an evaluation'} is audited: a part of the images says too little of the weakest "
                    "class; ask for the full attack, or for another --metric."
                )
    counted = [tuple(_counts(bits) for bits in pair) for pair in pairs]

    def ends(error: float) -> tuple[float, float]:
        found = [_ends(n, k, its, error) for ((n, k), (_, its)) in counted]
        low, high = np.mean(found, axis=0)
        return float(low), float(high)

    per_seed = [float(metric(WORST_CLASS, n, k) - metric(WORST_CLASS, n, its)) for (n, k), (_, its) in counted]
    value = float(np.mean(per_seed))
    low, high = ends((1 - level) / 2)
    return Comparison(
        tuple(per_seed), Interval(value, low, high, "sampling", level, "exact bounds of each"),
        p_value(ends, 1 / (DRAWS + 1)) if value else 1.0, over_seeds(np.array(per_seed), level, bounds=(-1.0, 1.0)),
        t_test(np.array(per_seed)), class_tests(pairs), (high - low) / 2 / two_sided_z(level),
        len(np.unique(np.concatenate([a.index for a, _ in pairs]))),
    )  # fmt: skip


def _counts(bits: Bits) -> tuple[np.ndarray, np.ndarray]:
    """(n, correct) of the classes that there are."""
    n = np.bincount(bits.label)
    return n[n > 0], np.bincount(bits.label[bits.correct], minlength=len(n))[n > 0]


def _ends(n: np.ndarray, ours: np.ndarray, theirs: np.ndarray, error: float) -> tuple[float, float]:
    """The difference's ends, each missed with this error: half of it for either network."""
    level = 1 - error  # a two-sided level whose ends have half of the error each
    (_, low, high), (_, least, most) = worst_class(n, ours, level), worst_class(n, theirs, level)
    return float(low - most), float(high - least)
