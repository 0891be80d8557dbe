"""Whether ours agree with the figures of a file, one by one, and how that is told."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What became of a case: `misses` name the figures that differ; `error` is the worst relative one."""

    id: str
    method: str
    kind: str
    misses: tuple[str, ...] = ()
    error: float = 0.0
    unsupported: str = ""

    @property
    def matches(self) -> bool:
        """Whether every figure agrees."""
        return not self.misses and not self.unsupported


def pairs(want: Any, have: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, expected, ours) of every single figure of `want`."""
    if isinstance(want, Mapping):
        for key, value in want.items():
            yield from pairs(value, have.get(key) if isinstance(have, Mapping) else None, f"{path}.{key}".lstrip("."))
    elif isinstance(want, list) and want:
        same = isinstance(have, list) and len(have) == len(want)
        for i, value in enumerate(want):
            yield from pairs(value, have[i] if same else None, f"{path}[{i}]")
    else:
        yield path, want, have


def difference(path: str, want: Any, have: Any, relative: float) -> float:
    """Difference of a figure relative to it; a match is at most `relative`. Infinite where it must be exact and is not.

    Gaps below 1e-9 (1e-8 in a gradient) always match, so the reference is never less than that over `relative`. Whole
    numbers are exact, except that an eval-mode forward that was not needed may be saved.
    """
    if isinstance(want, (bool, str)) or want is None:
        return 0.0 if want == have else math.inf
    if not isinstance(want, (int, float)):  # an empty list
        return 0.0 if want == have else math.inf
    if not isinstance(have, (int, float)) or not (math.isfinite(have) and math.isfinite(want)):
        return math.inf
    if "forward_count" in path and "train_mode" not in path:
        return 0.0 if 0 <= have <= want else math.inf
    if isinstance(want, int) and isinstance(have, int):
        return 0.0 if want == have else math.inf
    floor = 1e-8 if path.startswith("grad") else 1e-9
    return float(abs(want - have) / max(abs(want), floor / relative))


def report(outcomes: Sequence[Outcome]) -> list[str]:
    """Lines of text: misses first, then a line a method and kind, last the sum."""
    lines = []
    groups: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    worst: dict[tuple[str, str], float] = defaultdict(float)
    for outcome in outcomes:
        key = outcome.method, outcome.kind
        groups[key]["match" if outcome.matches else "unsupported" if outcome.unsupported else "miss"] += 1
        worst[key] = max(worst[key], outcome.error)
        if outcome.unsupported:
            lines.append(f"unsupported {outcome.id}: {outcome.unsupported}")
        elif outcome.misses:
            more = f" (and {len(outcome.misses) - 1} more)" if len(outcome.misses) > 1 else ""
            lines.append(f"miss {outcome.id}: {outcome.misses[0]}{more}")
    for (method, kind), counts in sorted(groups.items()):
        lines.append(
            f"{method:12} {kind:12} {counts['match']:4} match {counts['miss']:4} miss "
            f"{counts['unsupported']:4} unsupported   worst relative error {worst[method, kind]:.1e}"
        )
    matched = sum(outcome.matches for outcome in outcomes)
    return [*lines, f"{matched} of {len(outcomes)} cases match"]
