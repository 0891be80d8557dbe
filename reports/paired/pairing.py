"""Two evaluations on the same images and seeds: compared here alone, and what of it a page says of several methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.errors import StoreError
from bench.judge.doubt import disqualified
from bench.judge.evaluations import Evaluation
from bench.judge.metrics import metric
from bench.judge.paired import VERDICTS, Bits, Comparison, compare, corrected
from bench.judge.pairs import cells as judge
from bench.reports.source import Config, Source

#: what is compared where nothing else is said: the mean recall of all classes
SCOPE = "balanced"
#: what a method is beside the best: itself, not distinguishable from it, worse, better on the seeds that both have
#: (a mean over other seeds may be lower), and not paired with it
BEST, TIED, WORSE, AHEAD, UNPAIRED = "best", VERDICTS[1], VERDICTS[2], "better on shared seeds", "not paired"


@dataclass(frozen=True, eq=False)
class Pair:
    """A minus B over the seeds that both have: accuracies of a scope as fractions, and the comparison.

    `of`: the evaluations behind the one and the other, of these seeds only.
    """

    a: float
    b: float
    result: Comparison
    of: tuple[Sequence[Evaluation], Sequence[Evaluation]] = ((), ())


@dataclass(frozen=True, eq=False)
class Standing:
    """How a method stands beside the best: one of the words above, and best minus it where they were paired."""

    word: str
    pair: Pair | None = None


class Pairs:
    """The bits of a results folder, read when they are asked for, and what was compared of them."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @cached_property
    def _cells(self) -> dict[str, judge.Cell]:
        store = self.source.results
        return {} if store is None else {cell.record.id: cell for cell in judge.finished(store)}

    def bits(self, cell: str, split: str, attack: str) -> Bits | None:
        """One evaluation image by image; None where the store lacks it or cannot read it."""
        if cell not in self._cells:
            return None
        try:
            return self._cells[cell].bits(split, attack)
        except StoreError:
            return None

    def compared(
        self,
        a: Iterable[Evaluation],
        split_a: str,
        b: Iterable[Evaluation],
        split_b: str,
        other: Pairs | None = None,
        scope: str = SCOPE,
    ) -> Pair | None:
        """A minus B where both share the seed and the images; None where no pair has its bits.

        `other`: the results folder of B, where it is not that of A. `scope`: of which classes, a metric of
        `bench.judge.metrics.AMOUNTS`.
        """
        partner = {(e.seed, e.where.data_hash, e.over): e for e in b}  # a worst case only over the same attacks
        known = [
            (one, match, mine, theirs)
            for one in a
            if (match := partner.get((one.seed, one.where.data_hash, one.over)))
            and (mine := self.bits(one.cell, split_a, one.where.attack)) is not None
            and (theirs := (other or self).bits(match.cell, split_b, match.where.attack)) is not None
        ]
        if not known or not judge.has_images(scope, self._cells[known[0][0].cell].record, known[0][2]):
            return None
        ours, others = [k[0] for k in known], [k[1] for k in known]
        first, second = accuracies(ours, scope), accuracies(others, scope)
        weights = judge.class_weights(scope, self._cells[known[0][0].cell].record, known[0][2])
        result = compare([(k[2], k[3]) for k in known], weights=weights)
        return Pair(float(np.mean(first)), float(np.mean(second)), result, (ours, others))

    def standings(self, split: str, found: Mapping[Config, Sequence[Evaluation]]) -> dict[Config, Standing]:
        """How rivals stand beside the one with the highest mean; verdicts are corrected (Holm) over all of them.

        Those take no part of which most seeds have a flag by which a number may be no measure of robustness.
        """
        sound = {c: some for c, some in found.items() if some and not disqualified(e.flags for e in some)}
        if not sound:
            return {}
        best = max(sound, key=lambda c: np.mean(accuracies(sound[c])))
        pairs = {c: self.compared(sound[best], split, some, split) for c, some in sound.items() if c != best}
        known = {c: pair for c, pair in pairs.items() if pair is not None}
        adjusted = corrected([pair.result for pair in known.values()])
        words = {c: pair.result.verdict(p) for (c, pair), p in zip(known.items(), adjusted, strict=True)}
        told = dict(zip(VERDICTS, (WORSE, TIED, AHEAD), strict=True))  # the best is better: the other is worse
        others = {c: Standing(told[words[c]] if c in words else UNPAIRED, pair) for c, pair in pairs.items()}
        return {best: Standing(BEST)} | others


def accuracies(evaluations: Iterable[Evaluation], scope: str = SCOPE) -> list[float]:
    """Accuracy of each in a scope, as a fraction."""
    return [float(metric(scope, e.n, e.correct)) for e in evaluations]
