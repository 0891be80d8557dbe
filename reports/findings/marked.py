"""The numbers behind a difference with their marks: validity flags, and `≤` where a constant answer gets as much."""

from __future__ import annotations

from bench.reports.findings.gap import Gap
from bench.reports.findings.numbers import points
from bench.reports.marks import Ledger
from bench.reports.model import Footnote
from bench.reports.paired.pairing import SCOPE
from bench.reports.render import LOW, LOW_TEXT


class Marked:
    """Writes the numbers of one table and collects what their marks mean."""

    def __init__(self) -> None:
        self._ledger, self._low = Ledger(), False

    def numbers(self, gap: Gap) -> list[str]:
        """B, then A: `12.34 ≤ L`, with the flags that any of its seeds has."""
        return [self._number(gap, gap.pair.b, 1), self._number(gap, gap.pair.a, 0)]

    def _number(self, gap: Gap, value: float, side: int) -> str:
        found = gap.pair.of[side]
        low = gap.case.scope == SCOPE and any(value <= 1 / len(one.counts.names) + 1e-9 for one in found)
        self._low |= low
        marks = self._ledger.flags(tuple(dict.fromkeys(flag for one in found for flag in one.flags)))
        return " ".join([points(value), *([LOW] if low else []), *marks])

    @property
    def notes(self) -> list[Footnote]:
        """What the marks mean, those of the flags first."""
        return [*self._ledger.footnotes(), *([Footnote(LOW, LOW_TEXT)] if self._low else [])]
