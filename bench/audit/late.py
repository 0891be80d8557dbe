"""The exact bound on what the late stages would still take, from draws in blocks that were declared before looking.

Images that stand after the early stages are drawn, with replacement, with probability proportional to what they weigh
in balanced accuracy. So the number of draws that the late stages break is binomial, with the weighted share q that they
would take of everything, and Clopper and Pearson's bounds of q are exact. A drawn image is attacked once.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

#: part of the error that each look may spend; as many looks as there are parts
SPENT = (0.7, 0.15, 0.1, 0.05)
#: fewest draws of the first block; every further block is as large as all before it together
LEAST = 60
#: a share above this is a gap: the audit proves nothing cheaper than the full evaluation
GAP = 0.05


def total(first: int, look: int) -> int:
    """Draws up to a look, where the first block has `first`."""
    return int(first * 2**look)


def first_block(tolerance: float, error: float = 0.025) -> int:
    """Draws of which none may break so that the bound of q is at most `tolerance` at the first look."""
    return max(int(np.ceil(np.log(SPENT[0] * error) / np.log1p(-min(tolerance, 0.9)))), LEAST)


def bounds(broken: int, draws: int, look: int, error: float = 0.025) -> tuple[float, float]:
    """(low, high) of q, each missed with probability at most `error` however often was looked before `look`."""
    part = SPENT[look] * error
    low = float(special.betaincinv(broken, draws - broken + 1, part)) if broken else 0.0
    high = float(special.betaincinv(broken + 1, draws - broken, 1 - part)) if broken < draws else 1.0
    return low, high


def rate(broken: int, draws: int, look: int, tolerance: float) -> float:
    """An estimate of q without bias, though the looks decided how many draws there are.

    Broken over draws would be too low: a further block follows bad luck, and none follows good. The first block's share
    has no bias; this is its mean over all orders of the draws that led to the same end (Rao and Blackwell).
    """
    first = draws >> look
    ways = {k: (math.comb(first, k), k * math.comb(first, k)) for k in range(broken + 1)}
    for before in range(look):
        block, seen = total(first, before), total(first, before)  # every block is as large as all before it
        went_on = {k: w for k, w in ways.items() if goes_on(k, seen, before, tolerance) and not is_gap(k, seen)}
        ways = {k: (_onwards(went_on, block, k, 0), _onwards(went_on, block, k, 1)) for k in range(broken + 1)}
    often, sums = ways[broken]
    return sums / (often * first) if often else broken / max(draws, 1)


def _onwards(ways: dict[int, tuple[int, int]], block: int, broken: int, what: int) -> int:
    """Orders of the draws with so many broken after another block."""
    return sum(way[what] * math.comb(block, broken - k) for k, way in ways.items() if k <= broken)


def is_gap(broken: int, draws: int) -> bool:
    """Whether the share is above `GAP`."""
    return broken > GAP * draws


def goes_on(broken: int, draws: int, look: int, tolerance: float) -> bool:
    """Whether another block is asked for: a break at the first look, a bound above the tolerance at a later one."""
    wide = broken > 0 if look == 0 else bounds(broken, draws, look)[1] - broken / draws > tolerance
    return wide and look + 1 < len(SPENT)


def draw(chances: npt.NDArray[np.float64], uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """A position for each of the uniform numbers in [0, 1), with probability proportional to `chances`."""
    cumulated = np.cumsum(chances)
    return np.asarray(np.searchsorted(cumulated, uniform * cumulated[-1], side="right").clip(0, len(chances) - 1))
