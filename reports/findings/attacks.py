"""What do the CW columns measure, and is aa-10 above aa? Attacks compared on the same checkpoints and images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import spearmanr

from bench.judge.stats import LEVEL, two_sided_z
from bench.reports.findings.block import RECIPE, SPLIT, Block, Spot, name
from bench.reports.findings.gap import Case, Gap, gaps
from bench.reports.findings.layout import mean
from bench.reports.marks import Ledger
from bench.reports.model import Footnote
from bench.reports.pairing import balanced

#: the paper's CW column, the same margin inside the ball, AutoAttack, and its weaker chain
UNBOUNDED, BOUNDED, REFERENCE, WEAK = "cw-l2", "cw-linf", "aa", "aa-10"
SHOWN = ("clean", UNBOUNDED, BOUNDED, REFERENCE)
#: fewer rows say nothing about a rank correlation
ENOUGH = 5


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
    """Both tables; `correlated`: rows in the rank correlations of the margin with cw-l2 and cw-linf (r, low, high)."""

    cw: Sequence[Cw]
    weak: Sequence[Gap]
    notes: Sequence[Footnote]
    commands: Sequence[str]

    @property
    def correlated(self) -> list[Cw]:
        """Adversarially trained rows with a margin; empty when they are too few."""
        known = [row for row in self.cw if row.adversarial and not math.isnan(row.margin)]
        return known if len(known) >= ENOUGH else []

    @property
    def correlations(self) -> list[tuple[float, float, float] | None]:
        """Of the logit margin with cw-l2 and with cw-linf."""
        rows = self.correlated
        return [rank_correlation([row.margin for row in rows], values)
                for values in ([row.gap.a for row in rows], [row.gap.b for row in rows])]  # fmt: skip


def attacks(block: Block) -> Attacks | None:
    """cw-l2 against cw-linf, both against the scale of the logits, and aa-10 against aa."""
    rows = [(recipe, config) for recipe in block.recipes for config in block.configs(SPLIT, recipe)]

    def pairs(a: str, b: str) -> list[Gap]:
        return gaps(block, [
            Case((block.ratio(config.ir), name(config, recipe)), Spot(config, a, SPLIT, recipe),
                 Spot(config, b, SPLIT, recipe)) for recipe, config in rows
        ])  # fmt: skip

    cw, weak, ledger = pairs(UNBOUNDED, BOUNDED), pairs(WEAK, REFERENCE), Ledger()
    if not cw and not weak:
        return None
    wants = [
        spot for recipe, config in rows if recipe == RECIPE and not config.params
        for attack in (*SHOWN, *([] if weak else [WEAK])) if not block.at(spot := Spot(config, attack))
    ]  # fmt: skip
    seeds = block.seeds(config for _, config in rows)
    told = [_cw(block, gap, ledger) for gap in cw]
    return Attacks(told, weak, ledger.footnotes(), block.commands(wants, seeds))


def _cw(block: Block, gap: Gap, ledger: Ledger) -> Cw:
    spot = gap.case.a
    found = {a: block.at(Spot(spot.config, a, SPLIT, spot.recipe)) for a in SHOWN}
    clean, reference = (mean(balanced(found[a])) for a in ("clean", REFERENCE))
    marks = ledger.flags(tuple(dict.fromkeys(flag for some in found.values() for e in some for flag in e.flags)))
    cells = [e.cell for e in found[UNBOUNDED]]
    probed = [block.facts(cell).get("probes", {}).get(SPLIT, {}).get("margin") for cell in cells]
    margin = mean([float(value) for value in probed if value is not None and not math.isnan(value)])
    return Cw(gap, clean, reference, margin, all(map(block.store.adversarial, cells)), " ".join(marks))


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float] | None:
    """Spearman's coefficient with its 95 % interval (r, low, high); None where all values are equal.

    The interval is Fisher's z with the variance of Bonett and Wright (2000), as if rows were independent.
    """
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    r = float(spearmanr(x, y).statistic)
    half = two_sided_z(LEVEL) * math.sqrt((1 + r * r / 2) / (len(x) - 3))
    middle = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r)))
    return r, math.tanh(middle - half), math.tanh(middle + half)
