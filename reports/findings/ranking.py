"""Does the ranking of the methods change between the long-tailed and the balanced test split?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import kendalltau

from bench.reports import text
from bench.reports.findings.block import SPLIT, Block, Spot, balanced, name
from bench.reports.findings.difference import COLUMNS, Difference, differences
from bench.reports.findings.layout import between, missing, points, table
from bench.reports.findings.question import Answer, Question
from bench.reports.source import Config

OTHER = "balanced"
ATTACKS = ("clean", "pgd-20", "aa")
#: fewer methods have no ranking worth the name
ENOUGH = 3

#: ratio, attack, the two methods that change places, test split
Key = tuple[float, str, Config, Config, str]


@dataclass(frozen=True)
class Ranking:
    """Methods at one ratio under one attack: balanced accuracy by test split, means over the seeds that all have."""

    ir: float
    attack: str
    means: dict[str, dict[Config, float]]

    def order(self, split: str) -> list[Config]:
        """Best first."""
        return sorted(self.means[split], key=lambda config: -self.means[split][config])

    @property
    def tau(self) -> float:
        """Kendall's tau between the two splits; NaN where all methods are equal."""
        return float(kendalltau(*([self.means[s][c] for c in self.means[SPLIT]] for s in (SPLIT, OTHER))).statistic)

    @property
    def shift(self) -> float:
        """How much higher the balanced split is, mean over the methods."""
        return float(np.mean([self.means[OTHER][c] - self.means[SPLIT][c] for c in self.means[SPLIT]]))

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


def answer(block: Block) -> Answer | None:
    """Both rankings, and whether any pair that changes places does so beyond its intervals."""
    rankings = [r for ir in block.irs(*_methods(block)) for attack in ATTACKS if (r := _ranking(block, ir, attack))]
    if not rankings:
        return None
    wanted: dict[Key, tuple[Spot, Spot]] = {
        (r.ir, r.attack, a, b, split): (Spot(a, r.attack, split), Spot(b, r.attack, split))
        for r in rankings for a, b in r.swaps for split in (SPLIT, OTHER)
    }  # fmt: skip
    found = differences(block, wanted)
    rows = [
        [block.ratio(r.ir), r.attack, text.number(None if np.isnan(r.tau) else r.tau, signed=True),
         f"{len(r.swaps)} of {r.pairs}", points(r.shift, signed=True), *(_told(r.order(s)) for s in (SPLIT, OTHER))]
        for r in rankings
    ]  # fmt: skip
    body = [
        "Methods with the paper's recipe, best first by the mean over the seeds that all of them have on both splits.",
        table(["IR", "attack", "Kendall's tau", "pairs that change places", "balanced minus long-tailed",
               "long-tailed test split", "balanced test split"], rows),
        *_swapped(block, found),
        *missing(_absent(block, rankings)),
    ]  # fmt: skip
    return Answer(_short(rankings, found), tuple(body))


def _methods(block: Block) -> list[str]:
    return sorted({c.method for c in block.configs() if not c.params})


def _ranking(block: Block, ir: float, attack: str) -> Ranking | None:
    """None when fewer than three methods share a seed on both splits."""
    found = {
        config: {s: {e.seed: e for e in block.at(Spot(config, attack, s))} for s in (SPLIT, OTHER)}
        for config in (block.config(ir, method) for method in _methods(block))
    }
    both = {config: splits for config, splits in found.items() if set(splits[SPLIT]) & set(splits[OTHER])}
    shared = set.intersection(*(set(s) for splits in both.values() for s in splits.values())) if both else set()
    if len(both) < ENOUGH or not shared:
        return None
    return Ranking(ir, attack, {
        split: {config: float(np.mean(balanced(some[split][seed] for seed in sorted(shared))))
                for config, some in both.items()}
        for split in (SPLIT, OTHER)
    })  # fmt: skip


def _told(order: list[Config]) -> str:
    return ", ".join(map(name, order))


def _swapped(block: Block, found: dict[Key, Difference]) -> list[str]:
    if not found:
        return []
    return [
        "The pairs that change places, on each split:",
        table(["IR", "attack", "pair", "test split", *COLUMNS],
              [[block.ratio(ir), attack, f"{name(a)} minus {name(b)}", split, *one.columns()]
               for (ir, attack, a, b, split), one in found.items()]),
    ]  # fmt: skip


def _absent(block: Block, rankings: list[Ranking]) -> list[str]:
    """What ranks the methods under the attacks that have not been run on both splits."""
    ranked = {(r.ir, r.attack) for r in rankings}
    configs = {c for r in rankings for c in r.means[SPLIT]}
    wants = [
        Spot(config, attack, split)
        for config in sorted(configs, key=lambda c: (c.ir, c.method)) for attack in ATTACKS
        for split in (SPLIT, OTHER)
        if (config.ir, attack) not in ranked and not block.at(Spot(config, attack, split))
    ]  # fmt: skip
    return block.commands(wants, block.seeds(configs))


def _short(rankings: list[Ranking], found: dict[Key, Difference]) -> str:
    swaps, pairs = sum(len(r.swaps) for r in rankings), sum(r.pairs for r in rankings)
    sure = sum(
        one.verdict == "better" and (other := found.get((ir, attack, a, b, OTHER))) is not None
        and other.verdict == "worse"
        for (ir, attack, a, b, split), one in found.items() if split == SPLIT
    )  # fmt: skip
    first = sum(r.order(SPLIT)[0] == r.order(OTHER)[0] for r in rankings)
    taus = [r.tau for r in rankings if not np.isnan(r.tau)]
    tau = f" Kendall's tau {between(taus, signed=True)}." if taus else ""
    shift = between([100 * r.shift for r in rankings], signed=True)
    return (
        f"**{swaps} of {pairs} pairs of methods change places, {sure} distinguishably** on both splits, over "
        f"{len(rankings)} rankings (ratio, attack); the first place is the same in {first} of {len(rankings)}.{tau} "
        f"Balanced minus long-tailed split: {shift} points, means over the methods."
    )


QUESTION = Question(
    "Long-tailed against balanced test split",
    "Does the ranking change between the long-tailed and the balanced test split?",
    "bench run --preset table1 --test-split long-tailed,balanced",
    answer,
)
