"""Does the ranking of the methods change between the long-tailed and the balanced test split?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import kendalltau

from bench.reports.findings.block import SPLIT, Block, Spot, name
from bench.reports.findings.gap import Case, Gap, gaps
from bench.reports.findings.layout import mean
from bench.reports.pairing import balanced
from bench.reports.source import Config

OTHER = "balanced"
#: fewer methods have no ranking worth the name
ENOUGH = 3


@dataclass(frozen=True)
class Ranking:
    """Methods at one ratio under one attack: balanced accuracy by test split, means over the seeds that all have."""

    ir: float
    ratio: str
    attack: str
    means: dict[str, dict[Config, float]]

    def order(self, split: str) -> list[Config]:
        """Best first."""
        return sorted(self.means[split], key=lambda config: -self.means[split][config])

    def names(self, split: str) -> str:
        """The methods, best first."""
        return ", ".join(map(name, self.order(split)))

    @property
    def tau(self) -> float:
        """Kendall's tau between the two splits; NaN where all methods are equal."""
        return float(kendalltau(*([self.means[s][c] for c in self.means[SPLIT]] for s in (SPLIT, OTHER))).statistic)

    @property
    def shift(self) -> float:
        """How much higher the balanced split is, mean over the methods."""
        return mean([self.means[OTHER][c] - self.means[SPLIT][c] for c in self.means[SPLIT]])

    @property
    def pairs(self) -> int:
        """How many pairs of methods there are."""
        return len(self.means[SPLIT]) * (len(self.means[SPLIT]) - 1) // 2

    @property
    def swaps(self) -> list[tuple[Config, Config]]:
        """Pairs of methods that change places, the better one of the long-tailed split first."""
        place = {split: self.means[split] for split in (SPLIT, OTHER)}
        return [(a, b) for a, b in combinations(self.order(SPLIT), 2)
                if place[SPLIT][a] > place[SPLIT][b] and place[OTHER][a] < place[OTHER][b]]  # fmt: skip


@dataclass(frozen=True)
class Rankings:
    """All rankings, and the pairs that change places on each split."""

    rankings: Sequence[Ranking]
    swapped: Sequence[Gap]
    commands: Sequence[str]

    @property
    def sure(self) -> int:
        """Pairs that change places beyond their intervals on both splits."""
        verdicts = {(g.case.labels[:3], g.case.a.split): g.verdict for g in self.swapped}
        return sum(verdict == "better" and verdicts.get((labels, OTHER)) == "worse"
                   for (labels, split), verdict in verdicts.items() if split == SPLIT)  # fmt: skip

    @property
    def same_first(self) -> int:
        """Rankings with the same method in front on both splits."""
        return sum(r.order(SPLIT)[0] == r.order(OTHER)[0] for r in self.rankings)

    @property
    def taus(self) -> list[float]:
        """Those that are known."""
        return [r.tau for r in self.rankings if not np.isnan(r.tau)]


def ranking(block: Block) -> Rankings | None:
    """Both rankings, and whether any pair that changes places does so beyond its intervals."""
    methods = sorted({c.method for c in block.configs() if not c.params})
    rankings = [
        r for ir in block.irs(*methods) for attack in block.attacks
        if (r := _ranking(block, [block.config(ir, method) for method in methods], attack))
    ]  # fmt: skip
    if not rankings:
        return None
    swapped = gaps(block, [
        Case((r.ratio, r.attack, f"{name(a)} minus {name(b)}", split), Spot(a, r.attack, split),
             Spot(b, r.attack, split))
        for r in rankings for a, b in r.swaps for split in (SPLIT, OTHER)
    ])  # fmt: skip
    return Rankings(rankings, swapped, _missing(block, rankings))


def _ranking(block: Block, configs: Sequence[Config], attack: str) -> Ranking | None:
    """None when fewer than three methods share a seed on both splits."""
    found = {c: {s: {e.seed: e for e in block.at(Spot(c, attack, s))} for s in (SPLIT, OTHER)} for c in configs}
    both = {config: splits for config, splits in found.items() if set(splits[SPLIT]) & set(splits[OTHER])}
    shared = set.intersection(*(set(s) for splits in both.values() for s in splits.values())) if both else set()
    if len(both) < ENOUGH or not shared:
        return None
    return Ranking(configs[0].ir, block.ratio(configs[0].ir), attack, {
        split: {config: mean(balanced(some[split][seed] for seed in sorted(shared))) for config, some in both.items()}
        for split in (SPLIT, OTHER)
    })  # fmt: skip


def _missing(block: Block, rankings: Sequence[Ranking]) -> list[str]:
    """What ranks the methods under the attacks that have not been run on both splits."""
    ranked = {(r.ir, r.attack) for r in rankings}
    configs = {c for r in rankings for c in r.means[SPLIT]}
    wants = [
        spot for config in sorted(configs, key=lambda c: (c.ir, c.method)) for attack in block.attacks
        for split in (SPLIT, OTHER)
        if (config.ir, attack) not in ranked and not block.at(spot := Spot(config, attack, split))
    ]  # fmt: skip
    return block.commands(wants, block.seeds(configs))
