"""What do the CW columns measure, and is aa-10 above aa? Attacks compared on the same checkpoints and images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import spearmanr

from bench.judge.stats import LEVEL, two_sided_z
from bench.reports import text
from bench.reports.findings.block import RECIPE, SPLIT, Block, Spot, balanced, name
from bench.reports.findings.difference import COLUMNS, Difference, differences
from bench.reports.findings.layout import between, bullets, missing, points, significant, span, table
from bench.reports.findings.question import Answer, Question
from bench.reports.marks import Ledger
from bench.reports.source import Config

#: the paper's CW column, the same margin inside the ball, AutoAttack, and its weaker chain
UNBOUNDED, BOUNDED, REFERENCE, WEAK = "cw-l2", "cw-linf", "aa", "aa-10"
SHOWN = ("clean", UNBOUNDED, BOUNDED, REFERENCE)
#: fewer rows say nothing about a rank correlation
ENOUGH = 5

#: recipe, configuration: one row of a table
Row = tuple[str, Config]


def answer(block: Block) -> Answer | None:
    """cw-l2 against cw-linf, both against the scale of the logits, and aa-10 against aa."""
    rows: list[Row] = [(recipe, config) for recipe in block.recipes for config in block.configs(SPLIT, recipe)]
    cw = differences(block, {row: _two(row, UNBOUNDED, BOUNDED) for row in rows})
    weak = differences(block, {row: _two(row, WEAK, REFERENCE) for row in rows})
    if not cw and not weak:
        return None
    wants = [
        Spot(config, attack) for recipe, config in rows if recipe == RECIPE and not config.params
        for attack in (*SHOWN, *([] if weak else [WEAK])) if not block.at(Spot(config, attack))
    ]  # fmt: skip
    short = [*_short_cw(block, cw), *_short_weak(weak)]
    seeds = block.seeds(config for _, config in rows)
    return Answer(" ".join(short), (*_cw(block, cw), *_weaker(block, weak), *missing(block.commands(wants, seeds))))


def _two(row: Row, a: str, b: str) -> tuple[Spot, Spot]:
    recipe, config = row
    return Spot(config, a, SPLIT, recipe), Spot(config, b, SPLIT, recipe)


# ------------------------------------------------------------------------------------------------ the CW columns


def _cw(block: Block, cw: dict[Row, Difference]) -> Iterator[str]:
    if not cw:
        return
    ledger, rows = Ledger(), []
    for row, one in cw.items():
        recipe, config = row
        found = {attack: block.at(Spot(config, attack, SPLIT, recipe)) for attack in SHOWN}
        clean, reference = (points(_mean(balanced(found[attack]))) for attack in ("clean", REFERENCE))
        flags = dict.fromkeys(flag for some in found.values() for e in some for flag in e.flags)
        rows.append([
            block.ratio(config.ir), name(config, recipe), clean, points(one.a), points(one.b), *one.columns()[:4],
            reference, significant(margin(block, row)), " ".join(ledger.flags(tuple(flags))),
        ])  # fmt: skip
    yield (
        f"The same checkpoints under {UNBOUNDED} (the paper's CW column: no radius) and under {BOUNDED} (the same "
        f"margin inside the ball), {SPLIT} test split. *Difference*: the first minus the second; each interval is at "
        "95 %, not corrected for the number of rows. *Logit margin*: median distance between the two largest logits of "
        "clean images."
    )
    head = ["IR", "method", "clean", UNBOUNDED, BOUNDED, *COLUMNS[:4], REFERENCE, "logit margin", "flags"]
    yield table(head, rows)
    if notes := ledger.footnotes():
        yield bullets(f"flag {text.markdown(note.mark)}: {text.markdown(note.text)}" for note in notes)


def _short_cw(block: Block, cw: dict[Row, Difference]) -> Iterator[str]:
    if not cw:
        return
    above, below = (sum(_side(one) == sign for one in cw.values()) for sign in (1, -1))
    values = between([100 * one.value for one in cw.values()], signed=True)
    yield (
        f"{UNBOUNDED} minus {BOUNDED} on the same checkpoints: {values} points; **above 0 by all its intervals at "
        f"{above}, below 0 at {below} of {len(cw)}** (method, ratio)."
    )
    trained = [row for row in cw if _adversarial(block, row) and not math.isnan(margin(block, row))]
    if len(trained) >= ENOUGH:
        margins, unbounded, bounded = zip(*((margin(block, row), cw[row].a, cw[row].b) for row in trained), strict=True)
        yield (
            f"Rank correlation of the logit margin over the {len(trained)} adversarially trained ones: "
            f"{rank_correlation(margins, unbounded)} with {UNBOUNDED}, {rank_correlation(margins, bounded)} with "
            f"{BOUNDED}."
        )


def _side(one: Difference) -> int:
    """1 or -1 where all intervals of a difference lie above or below 0, else 0."""
    known = [i for i in (one.result.images, one.result.seeds) if i is not None]
    return int(all(i.low > 0 for i in known)) - int(all(i.high < 0 for i in known))


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> str:
    """Spearman's coefficient with its 95 % interval: `−0.61 (−0.87 to −0.08)`; a dash where all values are equal.

    The interval is Fisher's z with the variance of Bonett and Wright (2000), as if rows were independent.
    """
    if len(set(x)) < 2 or len(set(y)) < 2:
        return text.DASH
    r = float(spearmanr(x, y).statistic)
    half = two_sided_z(LEVEL) * math.sqrt((1 + r * r / 2) / (len(x) - 3))
    middle = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r)))
    value, low, high = (text.number(v, signed=True) for v in (r, math.tanh(middle - half), math.tanh(middle + half)))
    return f"{value} ({low} to {high})"


def margin(block: Block, row: Row) -> float:
    """Mean over the seeds of the stored logit margin; NaN where none was probed."""
    recipe, config = row
    cells = [e.cell for e in block.at(Spot(config, UNBOUNDED, SPLIT, recipe))]
    probed = [block.facts(cell).get("probes", {}).get(SPLIT, {}).get("margin") for cell in cells]
    return _mean([float(value) for value in probed if value is not None and not math.isnan(value)])


def _adversarial(block: Block, row: Row) -> bool:
    recipe, config = row
    return all(block.store.adversarial(e.cell) for e in block.at(Spot(config, UNBOUNDED, SPLIT, recipe)))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


# ---------------------------------------------------------------------------------------------- aa-10 beside aa


def _weaker(block: Block, weak: dict[Row, Difference]) -> Iterator[str]:
    if not weak:
        return
    yield f"{WEAK}, the chain with 10 iterations, minus {REFERENCE} on the same checkpoints, {SPLIT} test split:"
    yield table(
        ["IR", "method", REFERENCE, WEAK, *COLUMNS[:4]],
        [[block.ratio(config.ir), name(config, recipe), points(one.b), points(one.a), *one.columns()[:4]]
         for (recipe, config), one in weak.items()],
    )  # fmt: skip


def _short_weak(weak: dict[Row, Difference]) -> Iterator[str]:
    if not weak:
        return
    largest = max(weak.values(), key=lambda one: one.value)
    above = sum(one.value > 0 for one in weak.values())
    mean = points(_mean([one.value for one in weak.values()]), signed=True)
    yield (
        f"{WEAK} minus {REFERENCE}: **above 0 at {above} of {len(weak)}** (method, ratio), {mean} points on average, "
        f"at most {points(largest.value, signed=True)} (images {span(largest.result.images)})."
    )


QUESTION = Question(
    "The CW columns, and aa-10 against aa",
    "What do the CW columns measure, and is aa-10 above aa?",
    "bench run --preset table1 --attacks clean,cw-l2,cw-linf,aa,aa-10",
    answer,
)
