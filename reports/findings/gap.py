"""Paired differences: two places of a setting on the same images and seeds, with both intervals and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.judge.paired import VERDICTS, Comparison, corrected
from bench.reports.findings.numbers import points, points_between, span
from bench.reports.findings.setting import Setting, Spot
from bench.reports.paired.pairing import SCOPE, Pair
from bench.reports.text import markdown

BETTER, NEITHER, WORSE = VERDICTS


@dataclass(frozen=True)
class Case:
    """What is asked: place `a` minus place `b`. `labels` stand in front of its row, `name` is what a sentence says.

    `scope`: whose recalls are averaged, those of all classes (`balanced`), of the frequent half or of the rare one.
    """

    labels: tuple[str, ...]
    a: Spot
    b: Spot
    name: str = ""
    scope: str = SCOPE

    def lacking(self, setting: Setting) -> list[Spot]:
        """Those of the two that were not measured."""
        return [spot for spot in (self.a, self.b) if not setting.at(spot)]


@dataclass(frozen=True, eq=False)
class Gap:
    """What came out: accuracies of its scope over the seeds that both have (fractions), their difference, a verdict."""

    case: Case
    pair: Pair
    verdict: str

    @property
    def result(self) -> Comparison:
        """The difference with its intervals and seeds."""
        return self.pair.result

    @property
    def value(self) -> float:
        """A minus B, as a fraction."""
        return self.result.difference

    @property
    def alone(self) -> bool:
        """Whether it is of one seed: there is no interval over seeds."""
        return self.result.seeds is None

    @property
    def columns(self) -> list[str]:
        """Seeds, difference, interval over images, interval over seeds, verdict."""
        r = self.result
        return [str(len(r.per_seed)), points(r.difference, signed=True), span(r.images), span(r.seeds), self.verdict]

    @property
    def widest(self) -> str:
        """`−3.60 (−7.78 to +0.58)`: the difference, from the lower to the upper end of both intervals, `one seed`."""
        known = [i for i in (self.result.images, self.result.seeds) if i is not None]
        low, high = (points(end, signed=True) for end in (min(i.low for i in known), max(i.high for i in known)))
        return f"{points(self.value, signed=True)} ({low} to {high}{', one seed' if self.alone else ''})"

    def __str__(self) -> str:
        """`IR 10 (−3.60; images −6.24 to −1.06; 3 seeds −7.78 to +0.58)`."""
        r = self.result
        seeds = "one seed" if self.alone else f"{len(r.per_seed)} seeds {span(r.seeds)}"
        return f"{markdown(self.case.name)} ({points(r.difference, signed=True)}; images {span(r.images)}; {seeds})"


def gaps(setting: Setting, cases: Iterable[Case]) -> list[Gap]:
    """What can be paired of what is asked, in its order; verdicts are corrected over all of it."""
    found = [(case, setting.compared(case.a, case.b, case.scope)) for case in cases]
    return judged([Gap(case, pair, NEITHER) for case, pair in found if pair is not None])


def judged(found: Sequence[Gap]) -> list[Gap]:
    """The same with verdicts that are corrected (Holm) over just these."""
    adjusted = corrected([gap.result for gap in found])
    return [replace(gap, verdict=gap.result.verdict(p)) for gap, p in zip(found, adjusted, strict=True)]


def told(found: Sequence[Gap], spelled: Sequence[Gap]) -> str:
    """How many differences got which verdict, and what they are.

    Those that are not distinguishable are spelled out when they are among `spelled`, else given by their range.
    """
    counts = [sum(one.verdict == word for one in found) for word in (BETTER, WORSE)]
    parts = [f"**{BETTER} at {counts[0]}, {WORSE} at {counts[1]} of {len(found)}**"]
    for word in (BETTER, WORSE, NEITHER):
        named = [str(one) for one in found if one.verdict == word and (word != NEITHER or one in spelled)]
        if named:
            parts.append(f"{word}: {', '.join(named)}")
    rest = [one.value for one in found if one.verdict == NEITHER and one not in spelled]
    if rest:
        parts.append(f"{len(rest)} more {NEITHER} ({points_between(rest)})")
    return "; ".join(parts)
