"""Numbers as people read them."""

from __future__ import annotations

import math
import re

from bench.errors import UsageError


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3.2 h`, `2.1 days`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}" if unit != "h" else f"{seconds / size:.1f} h"
    return f"{seconds / 86400:.1f} days"


def seconds(text: str) -> float:
    """What `duration` writes, read: `45s`, `90 min`, `2h`, `1.5 days`. Raises UsageError."""
    units = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "day": 86400, "days": 86400}
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([a-z]+)", text.strip())
    if not match or match[2] not in units or not 0 < (value := float(match[1]) * units[match[2]]) < math.inf:
        raise UsageError(f"'{text}' is no time; write a number and its unit, for instance 30min, 2h or 1.5d.")
    return value


def size(mib: float | None) -> str:
    """MiB or GiB; `unknown` for None."""
    if mib is None:
        return "unknown"
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def counted(number: int, what: str) -> str:
    """`1 cell`, `3 cells`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def count(value: float) -> str:
    """`812`, `1.2 k`, `3.4 M`, `5.6 G`, `7.8 T`."""
    for unit in ("", " k", " M", " G", " T", " P"):
        if value < 1000 or unit == " P":
            return f"{value:.0f}" if not unit else f"{value:.1f}{unit}"
        value /= 1000
    return f"{value}"
