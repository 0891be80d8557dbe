"""What the measures themselves measure: attacks on the same checkpoints, and rankings on both test splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import kendalltau, spearmanr

from bench.judge.stats import LEVEL, two_sided_z
from bench.reports.findings.gap import BETTER, WORSE, Case, Gap, gaps
from bench.reports.findings.numbers import mean
from bench.reports.findings.setting import RECIPE, SPLIT, Setting, Spot, name
from bench.reports.marks import Ledger
from bench.reports.model import Footnote
from bench.reports.paired.pairing import accuracies
from bench.reports.source import Config

#: the paper's CW column, the same margin inside the ball, AutoAttack, and its weaker chain
UNBOUNDED, BOUNDED, REFERENCE, WEAK = "cw-l2", "cw-linf", "aa", "aa-10"
SHOWN, OTHER = ("clean", UNBOUNDED, BOUNDED, REFERENCE), "balanced"
#: fewer rows say nothing about a rank correlation; fewer methods have no ranking worth the name
ROWS, METHODS = 5, 3


@dataclass(frozen=True)
class Cw:
    """cw-l2 minus cw-linf on one configuration's checkpoints, beside what surrounds it (fractions)."""

    gap: Gap
    clean: float
    reference: float
    margin: float
    adversarial: bool
    marks: str

    @property
    def side(self) -> int:
        """1 or -1 where all intervals of the difference lie above or below 0, else 0."""
        known = [i for i in (self.gap.result.images, self.gap.result.seeds) if i is not None]
        return int(all(i.low > 0 for i in known)) - int(all(i.high < 0 for i in known))


@dataclass(frozen=True)
class Attacks:
    """Both tables."""

    cw: Sequence[Cw]
    weak: Sequence[Gap]
    notes: Sequence[Footnote]
    commands: Sequence[str]

    def __len__(self) -> int:
        """Rows of both tables."""
        return len(self.cw) + len(self.weak)

    @property
    def correlated(self) -> list[Cw]:
        """Adversarially trained rows with a margin; empty when they are too few for a rank correlation."""
        known = [row for row in self.cw if row.adversarial and not math.isnan(row.margin)]
        return known if len(known) >= ROWS else []

    @property
    def correlations(self) -> list[tuple[float, float, float] | None]:
        """Of the logit margin with cw-l2 and with cw-linf: (r, low, high)."""
        margins = [row.margin for row in self.correlated]
        return [rank_correlation(margins, [getattr(row.gap.pair, side) for row in self.correlated]) for side in "ab"]


def attacks(setting: Setting) -> Attacks | None:
    """What do the CW columns measure, and is aa-10 above aa?"""
    rows = [(recipe, config) for recipe in setting.recipes for config in setting.configs(SPLIT, recipe)]

    def pairs(a: str, b: str) -> list[Gap]:
        return gaps(
            setting,
            [
                Case(
                    (setting.ratio(config.ir), name(config, recipe)),
                    Spot(config, a, SPLIT, recipe),
                    Spot(config, b, SPLIT, recipe),
                )
                for recipe, config in rows
            ],
        )

    cw, weak, ledger = pairs(UNBOUNDED, BOUNDED), pairs(WEAK, REFERENCE), Ledger()
    if not cw and not weak:
        return None
    wants = [
        spot
        for recipe, config in rows
        if recipe == RECIPE and not config.params
        for attack in (*SHOWN, *([] if weak else [WEAK]))
        if not setting.at(spot := Spot(config, attack))
    ]
    told = [_cw(setting, gap, ledger) for gap in cw]
    return Attacks(told, weak, ledger.footnotes(), setting.commands(wants, [config for _, config in rows]))


def _cw(setting: Setting, gap: Gap, ledger: Ledger) -> Cw:
    spot = gap.case.a
    found = {a: setting.at(Spot(spot.config, a, SPLIT, spot.recipe)) for a in SHOWN}
    clean, reference = (mean(accuracies(found[a])) for a in ("clean", REFERENCE))
    marks = ledger.flags(tuple(dict.fromkeys(flag for some in found.values() for e in some for flag in e.flags)))
    cells = [e.cell for e in found[UNBOUNDED]]
    probed = [setting.facts(cell).probes.get(SPLIT, {}).get("margin") for cell in cells]
    margin = mean([float(value) for value in probed if value is not None and not math.isnan(value)])
    phases = [curves["phase"] for cell in cells if "phase" in (curves := setting.curves(cell))]
    adversarial = len(phases) == len(cells) and all(phase.ne("natural").any() for phase in phases)
    return Cw(gap, clean, reference, margin, adversarial, " ".join(marks))


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float] | None:
    """Spearman's coefficient with its 95 % interval (r, low, high); None where all values are equal.

    The interval is Fisher's z with the variance of Bonett and Wright (2000), as if rows were independent. At +-1,
    where z is infinite, its inner end is that of the next value that ranks allow.
    """
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    r = round(float(spearmanr(x, y).statistic), 12)
    half = two_sided_z(LEVEL) * math.sqrt((1 + r * r / 2) / (len(x) - 3))
    most = 1 - 12 / (len(x) * (len(x) ** 2 - 1))
    middle = math.atanh(max(-most, min(most, r)))
    return r, -1.0 if r < -most else math.tanh(middle - half), 1.0 if r > most else math.tanh(middle + half)


@dataclass(frozen=True)
class Ranking:
    """Methods at one ratio under one attack: balanced accuracy by test split, means over the seeds that all have."""

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
        return math.comb(len(self.means[SPLIT]), 2)

    @property
    def swaps(self) -> list[tuple[Config, Config]]:
        """Pairs of methods that change places, the better one of the long-tailed split first."""
        here, there = self.means[SPLIT], self.means[OTHER]
        return [(a, b) for a, b in combinations(self.order(SPLIT), 2) if here[a] > here[b] and there[a] < there[b]]


@dataclass(frozen=True)
class Rankings:
    """All rankings, and the pairs that change places on each split."""

    rankings: Sequence[Ranking]
    swapped: Sequence[Gap]
    commands: Sequence[str]

    def __len__(self) -> int:
        """How many rankings there are."""
        return len(self.rankings)

    @property
    def sure(self) -> int:
        """Pairs that change places beyond their intervals on both splits."""
        verdicts = {(g.case.labels[:3], g.case.a.split): g.verdict for g in self.swapped}
        return sum(
            verdict == BETTER and verdicts.get((labels, OTHER)) == WORSE
            for (labels, split), verdict in verdicts.items()
            if split == SPLIT
        )

    @property
    def same_first(self) -> int:
        """Rankings with the same method in front on both splits."""
        return sum(r.order(SPLIT)[0] == r.order(OTHER)[0] for r in self.rankings)

    @property
    def taus(self) -> list[float]:
        """Those that are known."""
        return [r.tau for r in self.rankings if not np.isnan(r.tau)]


def ranking(setting: Setting) -> Rankings | None:
    """Does the ranking of the methods change between the two test splits?"""
    methods = sorted({c.method for c in setting.configs() if not c.params})
    by_place = {
        (ir, attack): _ranking(setting, [setting.config(ir, method) for method in methods], attack)
        for ir in setting.irs(*methods)
        for attack in setting.attacks
    }
    rankings = [r for r in by_place.values() if r]
    if not rankings:
        return None
    swapped = gaps(
        setting,
        [
            Case(
                (r.ratio, r.attack, f"{name(a)} minus {name(b)}", split),
                Spot(a, r.attack, split),
                Spot(b, r.attack, split),
            )
            for r in rankings
            for a, b in r.swaps
            for split in (SPLIT, OTHER)
        ],
    )
    configs = sorted({c for r in rankings for c in r.means[SPLIT]}, key=lambda c: (c.ir, c.method))
    wants = [
        spot
        for config in configs
        for attack in setting.attacks
        for split in (SPLIT, OTHER)
        if not by_place[config.ir, attack] and not setting.at(spot := Spot(config, attack, split))
    ]
    return Rankings(rankings, swapped, setting.commands(wants, configs))


def _ranking(setting: Setting, configs: Sequence[Config], attack: str) -> Ranking | None:
    """None when fewer than three methods share a seed on both splits."""
    found = {c: {s: {e.seed: e for e in setting.at(Spot(c, attack, s))} for s in (SPLIT, OTHER)} for c in configs}
    both = {config: splits for config, splits in found.items() if set(splits[SPLIT]) & set(splits[OTHER])}
    shared = set.intersection(*(set(s) for splits in both.values() for s in splits.values())) if both else set()
    if len(both) < METHODS or not shared:
        return None
    return Ranking(
        setting.ratio(configs[0].ir),
        attack,
        {
            split: {
                config: mean(accuracies(some[split][seed] for seed in sorted(shared))) for config, some in both.items()
            }
            for split in (SPLIT, OTHER)
        },
    )
