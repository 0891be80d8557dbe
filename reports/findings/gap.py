"""Paired differences: two places of a block on the same images and seeds, with both intervals and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.judge.paired import VERDICTS, Comparison, holm
from bench.reports.findings.block import Block, Spot
from bench.reports.findings.layout import points, points_between, span
from bench.reports.pairing import Pair
from bench.reports.text import markdown


@dataclass(frozen=True)
class Case:
    """What is asked: place `a` minus place `b`. `labels` stand in front of its row, `name` is what a sentence says."""

    labels: tuple[str, ...]
    a: Spot
    b: Spot
    name: str = ""

    def lacking(self, block: Block) -> list[Spot]:
        """Those of the two that were not measured."""
        return [spot for spot in (self.a, self.b) if not block.at(spot)]


@dataclass(frozen=True, eq=False)
class Gap:
    """What came out."""

    case: Case
    pair: Pair
    verdict: str

    @property
    def result(self) -> Comparison:
        """With its intervals and seeds."""
        return self.pair.result

    @property
    def a(self) -> float:
        """Balanced accuracy of A over the seeds that both have, as a fraction."""
        return self.pair.a

    @property
    def b(self) -> float:
        """That of B."""
        return self.pair.b

    @property
    def value(self) -> float:
        """A minus B, as a fraction."""
        return self.result.difference

    @property
    def columns(self) -> list[str]:
        """Seeds, difference, interval over images, interval over seeds, verdict."""
        r = self.result
        return [str(len(r.per_seed)), points(r.difference, signed=True), span(r.images), span(r.seeds), self.verdict]

    def __str__(self) -> str:
        """`IR 10 (−3.60; images −6.24 to −1.06; 3 seeds −7.78 to +0.58)`."""
        r = self.result
        seeds = "one seed" if r.seeds is None else f"{len(r.per_seed)} seeds {span(r.seeds)}"
        return f"{markdown(self.case.name)} ({points(r.difference, signed=True)}; images {span(r.images)}; {seeds})"


def gaps(block: Block, cases: Iterable[Case]) -> list[Gap]:
    """What can be paired of what is asked, in its order; verdicts are corrected over all of it."""
    found = [(case, pair) for case in cases if (pair := block.compared(case.a, case.b)) is not None]
    adjusted = holm([pair.result.p for _, pair in found])
    return [Gap(case, pair, pair.result.verdict(p)) for (case, pair), p in zip(found, adjusted, strict=True)]


def absent(block: Block, cases: Sequence[Case], found: Sequence[Gap]) -> list[Spot]:
    """The places that were not measured, of cases without an answer."""
    answered = [gap.case for gap in found]
    return [spot for case in cases if case not in answered for spot in case.lacking(block)]


def told(found: Sequence[Gap], spelled: Sequence[Gap]) -> str:
    """How many differences got which verdict, and what they are.

    Those that are not distinguishable are spelled out when they are among `spelled`, else given by their range.
    """
    first, neither, last = VERDICTS
    counts = [sum(one.verdict == word for one in found) for word in (first, last)]
    parts = [f"**{first} at {counts[0]}, {last} at {counts[1]} of {len(found)}**"]
    for word in (first, last, neither):
        named = [str(one) for one in found if one.verdict == word and (word != neither or one in spelled)]
        if named:
            parts.append(f"{word}: {', '.join(named)}")
    rest = [one.value for one in found if one.verdict == neither and one not in spelled]
    if rest:
        parts.append(f"{len(rest)} more {neither} ({points_between(rest)})")
    return "; ".join(parts)
