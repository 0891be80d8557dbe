"""Paired differences: two places of a block on the same images and seeds, with both intervals and a verdict."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bench.judge.paired import VERDICTS, Comparison, compare, holm
from bench.reports.findings.block import Block, Spot, balanced
from bench.reports.findings.layout import between, points, span
from bench.reports.source import Evaluation

K = TypeVar("K", bound=Hashable)

#: heads of the columns that `Difference.columns` fills
COLUMNS = ("seeds", "difference", "over images", "over seeds", "verdict")
#: how to read them, once a page
LEGEND = (
    "Accuracies are balanced (mean recall of the classes), in per cent and averaged over seeds; differences are in "
    "points, on the same images and seeds. *Over images*: 95 % interval of the stratified paired bootstrap. *Over "
    "seeds*: 95 % interval of Student's t over training seeds. A verdict must hold for both, and is corrected by Holm "
    "over the rows of its table; with one seed it is about these networks only, not about the methods. "
    "[Statistics](statistics.md) says more."
)


@dataclass(frozen=True)
class Difference:
    """A minus B. `a`, `b`: their balanced accuracies over the seeds that both have, as fractions."""

    a: float
    b: float
    result: Comparison
    verdict: str

    @property
    def value(self) -> float:
        """A minus B, as a fraction."""
        return self.result.difference

    def columns(self) -> list[str]:
        """The cells below `COLUMNS`."""
        r = self.result
        return [str(len(r.per_seed)), points(r.difference, signed=True), span(r.images), span(r.seeds), self.verdict]

    def numbers(self) -> str:
        """`−3.60; images −6.24 to −1.06; 3 seeds −7.78 to +0.58`."""
        r = self.result
        seeds = "one seed" if r.seeds is None else f"{len(r.per_seed)} seeds {span(r.seeds)}"
        return f"{points(r.difference, signed=True)}; images {span(r.images)}; {seeds}"


def differences(block: Block, wanted: Mapping[K, tuple[Spot, Spot]]) -> dict[K, Difference]:
    """What can be paired of what is wanted, in its order; verdicts are corrected over all of it."""
    found: dict[K, tuple[float, float, Comparison]] = {}
    for key, (a, b) in wanted.items():
        first, second, bits = [], [], []
        for one, other in block.pairs(a, b):
            mine = block.store.bits(one.cell, a.split, a.attack)
            theirs = block.store.bits(other.cell, b.split, b.attack)
            if mine is not None and theirs is not None:
                first.append(one)
                second.append(other)
                bits.append((mine, theirs))
        if bits:
            found[key] = (_mean(first), _mean(second), compare(bits))
    adjusted = holm([result.p for _, _, result in found.values()])
    return {
        key: Difference(a, b, result, result.verdict(p))
        for (key, (a, b, result)), p in zip(found.items(), adjusted, strict=True)
    }


def _mean(evaluations: Iterable[Evaluation]) -> float:
    return float(np.mean(balanced(evaluations)))


def told(found: Mapping[str, Difference], always: Iterable[str]) -> str:
    """How many differences got which verdict, and what they are; by label.

    Those that are not distinguishable are spelled out when they are among `always`, else given by their range.
    """
    first, neither, last = VERDICTS
    counts = [sum(one.verdict == word for one in found.values()) for word in (first, last)]
    parts = [f"**{first} at {counts[0]}, {last} at {counts[1]} of {len(found)}**"]
    spelled = set(always)
    for word in (first, last, neither):
        named = [f"{label} ({one.numbers()})" for label, one in found.items()
                 if one.verdict == word and (word != neither or label in spelled)]  # fmt: skip
        if named:
            parts.append(f"{word}: {', '.join(named)}")
    rest = [100 * one.value for label, one in found.items() if one.verdict == neither and label not in spelled]
    if rest:
        parts.append(f"{len(rest)} more {neither} ({between(rest, signed=True)})")
    return "; ".join(parts)
