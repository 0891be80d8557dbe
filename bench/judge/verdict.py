"""THE rule by which a measured number is judged against another: one margin, one order of questions.

    match          no further apart than the absolute tolerance
    within noise   further apart, but within the margin
    off            beyond both
    refused        not comparable; the reason names the coordinate

`bench check` (against a store and against the paper), `bench report` and `bench findings` ask here and nowhere else.
All values are fractions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.judge.metrics import is_mean, metric, recalls, weights
from bench.judge.stats import LEVEL, over_seeds, standard_error, two_sided_z

MATCH, NOISE, OFF, REFUSED = "match", "within noise", "off", "refused"
#: what a printed number that is no target gets in place of a verdict, by its standing
STANDINGS = {"report": "report only", "never": "impossible in the paper"}
#: distance in which numbers match, where none is given
TOLERANCE = 0.01


def judge(difference: float, tolerance: float, noise: float) -> str:
    """The verdict on a difference, given the absolute tolerance and the margin."""
    if abs(difference) <= tolerance + 1e-12:
        return MATCH
    return NOISE if abs(difference) <= noise else OFF


def margin(errors: Sequence[float], level: float = LEVEL, spread: float = 0.0) -> float:
    """The normal quantile times the root of the squared standard errors of independent samples; `spread` if wider."""
    return max(two_sided_z(level) * math.hypot(*errors), spread)


def printed_error(value: float, share: Any, n: Any) -> float:
    """Standard error of a printed mean of recalls of which nothing but its value is known.

    The binomial error of classes that all have this value: `share` (C) is what each counts, on `n` (C) test images.
    """
    share, n = np.asarray(share, dtype=float), np.asarray(n, dtype=float)
    rate, present = min(max(value, 0.0), 1.0), n > 0
    return math.sqrt(rate * (1 - rate) * float((share[present] ** 2 / n[present]).sum()))


def against_print(
    printed: float,
    name: str,
    n: Any,
    correct: Any,
    *,
    standing: str = "target",
    tolerance: float = TOLERANCE,
    level: float = LEVEL,
) -> tuple[float, float, str]:
    """(measured mean over seeds, margin, verdict) of counts S x C against a printed number of a metric.

    `name`: a metric that `is_mean` (of a single class: `balanced` of its one column; any other metric takes the error
    of the balanced one). The margin is that of the printed value's binomial error and the sampling error of the seeds'
    mean counts, for all seeds see the same test images; or Student's t margin over the seeds where that is wider. The
    two are never added. A number whose standing is not `target` gets no verdict but what `STANDINGS` says.
    """
    n, correct = np.atleast_2d(np.asarray(n, dtype=float)), np.atleast_2d(np.asarray(correct, dtype=float))
    values = metric(name, n, correct)
    value, kind = float(values.mean()), name if is_mean(name) else "balanced"
    size = n.mean(axis=0)
    standing_images = size * np.nan_to_num(recalls(n, correct)).mean(axis=0)
    seeds = over_seeds(values, level)
    errors = (printed_error(printed, weights(kind, size), size), float(standard_error(kind, size, standing_images)))
    noise = margin(errors, level, seeds.margin if seeds else 0.0)
    return value, noise, STANDINGS.get(standing) or judge(value - printed, tolerance, noise)
