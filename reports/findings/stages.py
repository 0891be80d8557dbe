"""What a stage took, a training or an attack: seconds, achieved rate, peak memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.reports.findings.layout import middle

#: a stage of a cell as cell.json holds it
Stage = dict[str, Any]

#: heads of the columns that `numbers` fills
COLUMNS = ("s", "passes/s", "peak MiB")


def numbers(stages: Sequence[Stage], decimals: int = 0) -> list[str]:
    """Median seconds and passes a second, from least to most in brackets, and the highest peak that is known."""
    rates = [(s["forward"] + s["backward"]) / s["seconds"] if s["seconds"] else math.nan for s in stages]
    memory = max((s["peak_memory_mib"] for s in stages if s["peak_memory_mib"] is not None), default=math.nan)
    return [middle([s["seconds"] for s in stages], decimals), middle(rates), middle([memory])]
