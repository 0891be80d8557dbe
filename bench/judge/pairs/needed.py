"""How many test images, or training seeds, would find a difference of a given size."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from bench.errors import UsageError
from bench.judge.paired import Comparison
from bench.judge.stats import LEVEL, two_sided_z


def images_needed(comparison: Comparison, gap: float, level: float = LEVEL, power: float = 0.8) -> int:
    """Test images (same shares of classes) at which a balanced gap would be found with this power.

    With r times the images the standard error falls by sqrt(r) and the one image more by r: the smallest r with
    |gap| >= z error / sqrt(r) + one / r. Raises UsageError for a gap of 0.
    """
    _check_gap(gap, power)
    noise = (two_sided_z(level) + float(special.ndtri(power))) * comparison.error
    root = (noise + math.sqrt(noise**2 + 4 * comparison.one * abs(gap))) / (2 * abs(gap))
    return math.ceil(comparison.size * root**2)


def seeds_needed(comparison: Comparison, gap: float, level: float = LEVEL, power: float = 0.8) -> int | None:
    """Training seeds at which a balanced gap would be found with this power; None with one seed (spread unknown).

    The smallest n with n >= ((t(n-1, 1-alpha/2) + t(n-1, power)) s / gap)^2. Raises UsageError for a gap of 0.
    """
    _check_gap(gap, power)
    if len(comparison.per_seed) < 2:
        return None
    spread = float(np.std(comparison.per_seed, ddof=1)) / abs(gap)
    n = max(2, math.ceil(((two_sided_z(level) + float(special.ndtri(power))) * spread) ** 2))
    while n < ((special.stdtrit(n - 1, (1 + level) / 2) + special.stdtrit(n - 1, power)) * spread) ** 2:
        n += 1
    return n


def _check_gap(gap: float, power: float) -> None:
    if gap == 0 or not math.isfinite(gap):
        raise UsageError(f"a gap of {gap} cannot be looked for; give a difference other than 0, in points.")
    if not 0 < power < 1:
        raise UsageError(f"power={power} is not a probability; give a number between 0 and 1, such as 0.8.")
