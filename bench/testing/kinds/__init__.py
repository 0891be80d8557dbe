"""The kinds of golden cases: what each asks for, and what ours gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.testing.kinds import attacks, between, enhanced, heads, losses, schedules, steps

#: kind -> (case, closed forms of the tiny network's parameters) -> our figures, named as in the case's `expected`
Kind = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
KINDS: dict[str, Kind] = {
    **steps.KINDS,
    **losses.KINDS,
    **heads.KINDS,
    **attacks.KINDS,
    **enhanced.KINDS,
    **between.KINDS,
    **schedules.KINDS,
}
