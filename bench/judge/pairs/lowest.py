"""Two networks by the lowest recall of a class: no mean over images, so no image's difference says what it adds.

Each network's lowest recall has exact bounds of its own (`bench.judge.stats.worst_class`). Their difference lies
between the one's low less the other's high and the reverse, each at half the error, however their images hang together:
wide, and never wrong by the pairing. With several seeds the ends are their mean, as all seeds see the same images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.audit.shares import Shares
from bench.judge.paired import Bits, Comparison, class_tests, same_images, t_test
from bench.judge.stats import LEVEL, Interval, over_seeds, p_value, two_sided_z, worst_class

#: the smallest error at which the exact bounds are still computed
LEAST = 1e-12


def compare_lowest(pairs: Sequence[tuple[Bits, Bits]], level: float = LEVEL) -> Comparison:
    """A against B in the lowest recall of a class, one pair a training seed. Raises StoreError as `paired.compare`.

    An audit knows a part of each class: its bounds (`bench.audit.shares`) say so by their width.
    """
    for a, b in pairs:
        same_images(a, b)

    def ends(error: float) -> tuple[float, float]:
        found = [_ends(a, b, error) for a, b in pairs]
        low, high = np.mean(found, axis=0)
        return float(low), float(high)

    per_seed = [lowest(a) - lowest(b) for a, b in pairs]
    value = float(np.mean(per_seed))
    low, high = ends((1 - level) / 2)
    return Comparison(
        tuple(per_seed),
        Interval(value, low, high, "sampling", level, "exact bounds of each"),
        p_value(ends, LEAST) if value else 1.0,
        over_seeds(np.array(per_seed), level, bounds=(-1.0, 1.0)),
        t_test(np.array(per_seed)),
        class_tests(pairs),
        (high - low) / 2 / two_sided_z(level),
        len(np.unique(np.concatenate([a.index for a, _ in pairs]))),
    )


def lowest(bits: Bits) -> float:
    """The lowest recall of a class that there is, in [0, 1]; of an audit the lowest estimate."""
    return _bounds(bits, LEVEL)[0]


def _bounds(bits: Bits, level: float) -> tuple[float, float, float]:
    """(value, low, high) of one network's lowest recall."""
    if bits.audit is not None:
        late = bits.audit.late
        n = np.bincount(bits.label, minlength=len(late.early)).astype(float)
        return Shares(n, late.early - late.lost, bits.audit.added, late).lowest(level)
    n = np.bincount(bits.label)
    correct = np.bincount(bits.label[bits.correct], minlength=len(n))
    value, low, high = worst_class(n[n > 0], correct[n > 0], level)
    return float(value), float(low), float(high)


def _ends(ours: Bits, theirs: Bits, error: float) -> tuple[float, float]:
    """The difference's ends, each missed with this error: half of it for either network."""
    level = 1 - error  # a two-sided level whose ends have half of the error each
    (_, low, high), (_, least, most) = _bounds(ours, level), _bounds(theirs, level)
    return low - most, high - least
