"""Paired differences: two places of a block on the same images and seeds, with both intervals and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.judge.paired import VERDICTS, Comparison, compare, holm
from bench.reports.findings.block import Block, Spot, balanced
from bench.reports.findings.layout import points, points_between, span
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
    """What came out. `a`, `b`: balanced accuracies over the seeds that both have, as fractions."""

    case: Case
    a: float
    b: float
    result: Comparison
    verdict: str

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
    found: list[tuple[Case, float, float, Comparison]] = []
    for case in cases:
        known = [
            (one, other, mine, theirs) for one, other in block.pairs(case.a, case.b)
            if (mine := block.store.bits(one.cell, case.a.split, case.a.attack)) is not None
            and (theirs := block.store.bits(other.cell, case.b.split, case.b.attack)) is not None
        ]  # fmt: skip
        if known:
            first, second = (float(np.mean(balanced(some))) for some in ([k[0] for k in known], [k[1] for k in known]))
            found.append((case, first, second, compare([(mine, theirs) for _, _, mine, theirs in known])))
    adjusted = holm([result.p for *_, result in found])
    return [Gap(*one, one[-1].verdict(p)) for one, p in zip(found, adjusted, strict=True)]


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
