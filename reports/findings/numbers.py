"""How the page writes a number, an interval and a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from bench.judge.stats import Interval
from bench.reports import text

#: what a comparison of methods is under besides the strongest attack, the weakest first
WEAKER = ("clean", "pgd-20")


def points(fraction: float | None, *, signed: bool = False) -> str:
    """A fraction in per cent, or a difference in points with its sign; a dash for None and NaN."""
    missing = fraction is None or math.isnan(fraction)
    return text.number(None if missing else 100 * float(fraction or 0.0), signed=signed)


def span(interval: Interval | None) -> str:
    """`−6.24 to −1.06` in points; a dash where there is no interval."""
    if interval is None:
        return text.DASH
    return f"{points(interval.low, signed=True)} to {points(interval.high, signed=True)}"


def significant(value: float) -> str:
    """Three digits; a dash for NaN."""
    return text.DASH if math.isnan(value) else f"{value:.3g}"


def middle(values: Iterable[float], decimals: int = 0) -> str:
    """The median, and from least to most where they differ: `124 (122 to 131)`; a dash for none."""
    known = [v for v in values if not math.isnan(v)]
    if not known:
        return text.DASH
    low, mid, high = (text.number(float(v), decimals) for v in (min(known), np.median(known), max(known)))
    return mid if low == high else f"{mid} ({low} to {high})"


def between(values: Iterable[float], decimals: int = 2, *, signed: bool = False) -> str:
    """`0.71 to 0.90`, or the one number."""
    known = sorted(values)
    ends = [text.number(float(v), decimals, signed=signed) for v in (known[0], known[-1])]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def points_between(fractions: Iterable[float]) -> str:
    """`−6.79 to +7.18`, differences in points."""
    return between((100 * value for value in fractions), signed=True)


def mean(values: Sequence[float]) -> float:
    """NaN for none."""
    return float(np.mean(values)) if values else math.nan


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a cell shows its text as it is, whatever signs that has."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(" --- " for _ in head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(text.markdown, row)) + " |" for row in rows)])
