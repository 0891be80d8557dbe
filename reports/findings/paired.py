"""Questions answered by paired differences alone: a method against another, a loss without a part, another recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.reports import paper
from bench.reports.findings.block import RECIPE, SPLIT, Block, Spot, name
from bench.reports.findings.gap import Case, Gap, absent, gaps, told
from bench.reports.findings.layout import WEAKER, mean
from bench.reports.footnote import settings_lines
from bench.reports.marks import audit_note
from bench.reports.source import Config

#: the claim: this method is better than that one, under this attack, at these ratios
OURS, RIVAL, RATIOS = "taet", "at-bsl", (10.0, 20.0, 50.0, 100.0)
TWO_STAGES, ONE_STAGE = "taet", "harl"
#: methods that are trained with the hierarchical loss, and the setting that weighs a part of it -> the part
HIERARCHICAL, PARTS = ("harl", "taet"), {"alpha": "BCL", "beta": "HDL", "gamma": "RCEL"}


@dataclass(frozen=True)
class Paired:
    """`told`: the verdicts in short. `rows`: each case with its answer, None where there is none to give."""

    told: str
    rows: Sequence[tuple[Case, Gap | None]]
    commands: Sequence[str]


@dataclass(frozen=True)
class Superiority(Paired):
    """`absent`: ratios of the claim that were not measured; `under`: the attack; `attack`: as it was run."""

    absent: Sequence[str]
    unmeasured: Sequence[Case]
    under: str
    attack: str


@dataclass(frozen=True)
class Work:
    """Passes of one image and seconds of every training with one stage and with two, at a ratio."""

    ratio: str
    passes: tuple[Sequence[float], Sequence[float]]
    seconds: tuple[Sequence[float], Sequence[float]]

    @property
    def share(self) -> float:
        """Passes with two stages over those with one."""
        return mean(self.passes[1]) / mean(self.passes[0])


@dataclass(frozen=True)
class Stages(Paired):
    """`work`: what the trainings cost, where both were trained."""

    work: Sequence[Work]


@dataclass(frozen=True)
class Parts(Paired):
    """`absent`: methods of which no part was left out."""

    absent: Sequence[str]


@dataclass(frozen=True)
class Recipes(Paired):
    """`recipes`: which were run beside the paper's."""

    recipes: Sequence[str]


def superiority(block: Block) -> Superiority | None:
    """Does TAET beat AT-BSL? The difference at every ratio; ratios of the claim that lack a cell are named."""
    ratios = set(block.irs(OURS, RIVAL))
    asked = sorted(ratios if block.setting.natural else ratios | set(RATIOS))
    cases = [
        Case((block.ratio(ir), split), Spot(block.config(ir, OURS), block.strongest, split),
             Spot(block.config(ir, RIVAL), block.strongest, split), f"IR {block.ratio(ir)}")
        for split in block.splits for ir in asked
    ]  # fmt: skip
    found = gaps(block, cases)
    if not found:
        return None
    answers = {gap.case: gap for gap in found}
    # The claim is about the long-tailed split; of another one only what was measured is shown.
    shown = [case for case in cases if case.a.split == SPLIT or case in answers]
    claim = [gap for gap in found if gap.case.a.split == SPLIT]
    lacks = [case for case in shown if case not in answers and case.lacking(block)]
    used = [one for spot, one in block.evaluations if spot.attack == block.strongest and spot.recipe == RECIPE]
    lines = dict(settings_lines(block.store.source, block.place(), used, (block.strongest,)))
    chains = dict.fromkeys(one.audit.chain for one in used if one.audit)
    return Superiority(
        told(claim, claim), [(case, answers.get(case)) for case in shown],
        block.commands([spot for case in lacks for spot in case.lacking(block)],
                       block.seeds(block.config(ir, method) for ir in ratios for method in (OURS, RIVAL))),
        [case.name for case in lacks], lacks, block.strongest,
        "; ".join([lines.get("Attacks", block.strongest), *([audit_note(chains)] if chains else [])]),
    )  # fmt: skip


def stages(block: Block) -> Stages | None:
    """What do the cross-entropy epochs give? Two stages minus one on both test splits, and what the trainings cost."""
    irs = block.irs(TWO_STAGES, ONE_STAGE)
    cases = [
        Case((block.ratio(ir), split, attack), Spot(block.config(ir, TWO_STAGES), attack, split),
             Spot(block.config(ir, ONE_STAGE), attack, split),
             f"{attack}, IR {block.ratio(ir)}" + ("" if split == SPLIT else f", {split} split"))
        for ir in irs for split in block.splits for attack in block.attacks
    ]  # fmt: skip
    found = gaps(block, cases)
    if not found:
        return None
    headline = [gap for gap in _strongest(found) if gap.case.a.split == SPLIT]
    trained = block.seeds(block.config(ir, method) for ir in irs for method in (TWO_STAGES, ONE_STAGE))
    work = [w for ir in block.irs(TWO_STAGES) if all((w := _work(block, ir)).passes)]
    return Stages(told(found, headline), [(gap.case, gap) for gap in found],
                  block.commands(absent(block, cases, found), trained), work)  # fmt: skip


def _work(block: Block, ir: float) -> Work:
    """Of both methods as the paper states them."""
    runs = [[s for cell, run in block.runs.items() if run == (block.config(ir, method), RECIPE)
             and (s := block.stage(cell, "train"))] for method in (ONE_STAGE, TWO_STAGES)]  # fmt: skip
    one, two = ([s["forward"] + s["backward"] for s in some] for some in runs)
    first, second = ([s["seconds"] for s in some] for some in runs)
    return Work(block.ratio(ir), (one, two), (first, second))


def parts(block: Block) -> Parts | None:
    """Which part of the hierarchical loss matters? Each configuration without a part minus the whole loss."""
    cases = [
        Case((block.ratio(c.ir), _whole(c), " and ".join(_without(c)), attack), Spot(c, attack),
             Spot(block.config(c.ir, c.method), attack),
             f"{_whole(c)} without {' and '.join(_without(c))}, {attack}, IR {block.ratio(c.ir)}")
        for c in block.configs() if c.method in HIERARCHICAL and _without(c) for attack in block.attacks
    ]  # fmt: skip
    found = gaps(block, cases)
    if not found:
        return None
    by_method = {method: [gap for gap in found if gap.case.a.config.method == method] for method in HIERARCHICAL}
    headline = [gap for some in by_method.values() for gap in _strongest(some) if len(gap.case.a.config.params) == 1]
    single = [Config(ir, block.model, method, ((part, 0),)) for ir in sorted({gap.case.a.config.ir for gap in found})
              for method in HIERARCHICAL for part in PARTS]  # fmt: skip
    wants = [spot for config in single for attack in block.attacks if not block.at(spot := Spot(config, attack))]
    return Parts(told(found, headline), [(gap.case, gap) for gap in found],
                 block.commands(wants, block.seeds(gap.case.a.config for gap in found)),
                 [paper.method_label(method) for method, some in by_method.items() if not some])  # fmt: skip


def _without(config: Config) -> list[str]:
    """The parts of the loss that a configuration leaves out; empty when it differs in anything else."""
    left_out = [key for key, value in config.params if key in PARTS and value == 0]
    return [PARTS[key] for key in left_out] if len(left_out) == len(config.params) else []


def _whole(config: Config) -> str:
    return name(Config(config.ir, config.model, config.method))


def recipes(block: Block) -> Recipes | None:
    """What does another recipe change? Every one minus the paper's, for methods as their papers state them."""
    cases = [
        Case((block.ratio(config.ir), name(config), recipe, attack), Spot(config, attack, SPLIT, recipe),
             Spot(config, attack), f"{name(config)}, {attack}, IR {block.ratio(config.ir)}")
        for recipe in block.recipes if recipe != RECIPE
        for config in block.configs(SPLIT, recipe) if not config.params
        for attack in block.attacks
    ]  # fmt: skip
    found = gaps(block, cases)
    if not found:
        return None
    wants = block.commands(absent(block, cases, found), block.seeds(case.a.config for case in cases))
    names = list(dict.fromkeys(gap.case.a.recipe for gap in found))
    return Recipes(told(found, _strongest(found)), [(gap.case, gap) for gap in found], wants, names)


def _strongest(found: Sequence[Gap]) -> list[Gap]:
    """Those under the strongest attack that any of them was run with."""
    strength = {attack: i for i, attack in enumerate(WEAKER)}
    attacks = sorted({gap.case.a.attack for gap in found}, key=lambda attack: strength.get(attack, len(strength)))
    return [gap for gap in found if gap.case.a.attack in attacks[-1:]]
