"""Questions answered by paired differences: which two places each compares, measured or not, in typed rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.reports import paper
from bench.reports.findings.gap import Case, Gap, gaps, told
from bench.reports.findings.numbers import mean
from bench.reports.findings.setting import RECIPE, SPLIT, Setting, Spot, name
from bench.reports.footnote import settings_lines
from bench.reports.marks import audit_note

#: the claim: this method is better than that one at these ratios, and than all the others at some of them
OURS, RIVAL, RATIOS = "taet", "at-bsl", (10.0, 20.0, 50.0, 100.0)
IN_FULL = (10.0, 50.0)
OTHERS = ("at", "harl", "mart", "reat", "robal", "trades")
#: the others of the paper's Table 3, whose images are medical and imbalanced by themselves
MEDICAL = ("adt", "at-bsl", "mart", "trades")
TWO_STAGES, ONE_STAGE = "taet", "harl"
#: a baseline of this project at the cost of the paper's method, and the same with averaged weights
OWN = ("two-stage-bsl", "two-stage-bsl+ema")


@dataclass(frozen=True)
class Paired:
    """`told`: the verdicts in short. `cases`: all that is asked. `rows`: with an answer, None where there is none."""

    cases: Sequence[Case]
    rows: Sequence[tuple[Case, Gap | None]]
    told: str
    absent: Sequence[str]
    commands: Sequence[str]

    @property
    def found(self) -> list[Gap]:
        """What could be paired."""
        return [gap for _, gap in self.rows if gap]

    def __len__(self) -> int:
        """How many differences were measured; without one there is no answer."""
        return len(self.found)


def ask(
    setting: Setting,
    cases: Sequence[Case],
    *,
    split: str = "",
    named: Callable[[Case], bool] = bool,
    group: Callable[[Case], str] | None = None,
    every: bool = False,
) -> Paired:
    """The differences of these cases, as far as they were measured.

    The short answer is over one test split (empty: over all) and names what cannot be told under the strongest attack
    on the long-tailed one, of cases that are `named`. `group`: what is absent where none of its cases was measured.
    `every`: cases without an answer have a row too.
    """
    found = gaps(setting, cases)
    answers = {gap.case: gap for gap in found}
    top = strongest(list(answers), setting)
    some = [gap for gap in found if split in ("", gap.case.a.split)]
    spelled = [g for g in some if (g.case.a.split, g.case.a.attack) == (SPLIT, top) and named(g.case)]
    lacks = [case for case in cases if case not in answers and case.lacking(setting)]
    absent = dict.fromkeys(g for case in lacks if group and (g := group(case)) not in map(group, answers))
    wants = [spot for case in lacks for spot in case.lacking(setting)]
    trained = [spot.config for case in cases for spot in (case.a, case.b)]
    rows = [(case, answers.get(case)) for case in cases if every or case in answers]
    return Paired(cases, rows, told(some, spelled), list(absent), setting.commands(wants, trained))


def strongest(cases: Sequence[Case], setting: Setting) -> str:
    """The strongest attack under which any of these was measured; empty when none was."""
    there = {case.a.attack for case in cases if not case.lacking(setting)}
    return next((attack for attack in reversed(setting.attacks) if attack in there), "")


def superiority(setting: Setting) -> Paired:
    """Does TAET beat AT-BSL? At every ratio of the claim; on another split than the claim's what was measured."""
    ratios = set(setting.irs(OURS, RIVAL))
    asked = sorted(ratios if setting.where.natural else ratios | set(RATIOS))
    cases = [
        Case(
            (setting.ratio(ir), split),
            Spot(setting.config(ir, OURS), setting.strongest, split),
            Spot(setting.config(ir, RIVAL), setting.strongest, split),
            f"IR {setting.ratio(ir)}",
        )
        for split in setting.splits
        for ir in asked
    ]
    shown = [case for case in cases if case.a.split == SPLIT or not case.lacking(setting)]
    return ask(setting, shown, split=SPLIT, group=lambda case: case.name, every=True)


def rivals(setting: Setting) -> Paired:
    """Does TAET beat the others? Every method as its paper states it, and those that were not measured."""
    found = {c.method for c in setting.configs() if not c.params and "+" not in c.method} - {OURS}

    def wanted(ir: float) -> set[str]:
        if setting.where.natural:
            return {*MEDICAL} if setting.medical else set()
        return {RIVAL, *OTHERS} if ir in IN_FULL else set()

    cases = [
        Case(
            (setting.ratio(ir), paper.method_label(other)),
            Spot(setting.config(ir, OURS), setting.strongest),
            Spot(setting.config(ir, other), setting.strongest),
            f"{paper.method_label(other)}, IR {setting.ratio(ir)}",
        )
        for ir in setting.irs(OURS)
        for other in sorted(found | wanted(ir))
    ]
    return ask(setting, cases)


def own(setting: Setting) -> Paired:
    """Does a baseline of this project beat TAET at its cost? And AT-BSL, which costs more; both with its tricks too."""
    cases = [
        Case(
            (setting.ratio(ir), paper.method_label(ours), paper.method_label(other), split, attack),
            Spot(setting.config(ir, ours), attack, split),
            Spot(setting.config(ir, other), attack, split),
            f"{paper.method_label(ours)} minus {paper.method_label(other)}, {attack}, IR {setting.ratio(ir)}"
            + ("" if split == SPLIT else f", {split} split"),
        )
        for ir in setting.irs(*OWN)
        for ours in OWN
        for other in _rivals_of(ours)
        for split in setting.splits
        for attack in setting.attacks
    ]
    return ask(setting, [case for case in cases if not case.lacking(setting)])


def _rivals_of(ours: str) -> list[str]:
    """Both methods as their papers state them, and with the tricks of `ours`: what is gained by tricks alone."""
    plus, tricks = ours.partition("+")[1:]
    return list(dict.fromkeys([OURS, RIVAL, f"{OURS}{plus}{tricks}", f"{RIVAL}{plus}{tricks}"]))


def stages(setting: Setting) -> Paired:
    """What do the cross-entropy epochs give? Two stages minus one, at ratios with both, on both test splits."""
    both = [ir for ir in setting.irs(TWO_STAGES) if ir in setting.irs(ONE_STAGE)]
    cases = [
        Case(
            (setting.ratio(ir), split, attack),
            Spot(setting.config(ir, TWO_STAGES), attack, split),
            Spot(setting.config(ir, ONE_STAGE), attack, split),
            f"{attack}, IR {setting.ratio(ir)}" + ("" if split == SPLIT else f", {split} split"),
        )
        for ir in both or setting.irs(TWO_STAGES, ONE_STAGE)[:1]
        for split in setting.splits
        for attack in setting.attacks
    ]
    return ask(setting, cases)


def recipes(setting: Setting) -> Paired:
    """What does another recipe change? Every one minus the paper's, for methods as their papers state them."""
    other = [recipe for recipe in setting.recipes if recipe != RECIPE]
    there = [(recipe, c) for recipe in other for c in setting.configs(SPLIT, recipe) if not c.params]
    wanted = [("official", setting.config(ir, m)) for ir in setting.irs(OURS, RIVAL)[:1] for m in (OURS, RIVAL)]
    cases = [
        Case(
            (setting.ratio(c.ir), name(c), recipe, attack),
            Spot(c, attack, SPLIT, recipe),
            Spot(c, attack),
            f"{name(c)}, {attack}, IR {setting.ratio(c.ir)}",
        )
        for recipe, c in dict.fromkeys([*there, *wanted])
        for attack in setting.attacks
    ]
    return ask(setting, cases)


def attack_as_run(setting: Setting) -> str:
    """The attack that methods are compared under, with its settings."""
    used = [e for s, e in setting.evaluations if s.attack == setting.strongest and s.recipe == RECIPE]
    lines = dict(settings_lines(setting.source, setting.place(), used, (setting.strongest,)))
    chains = dict.fromkeys(one.chain for one in used if one.chain)
    return "; ".join([lines.get("Attacks", setting.strongest), *([audit_note(chains)] if chains else [])])


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


def work(setting: Setting) -> list[Work]:
    """What training with one stage and with two took, at ratios at which both were trained as their papers state."""
    made = []
    for ir in setting.irs(TWO_STAGES):
        trained = [
            [
                s
                for cell, run in setting.runs.items()
                if run == (setting.config(ir, method), RECIPE) and (s := setting.stage(cell, "train"))
            ]
            for method in (ONE_STAGE, TWO_STAGES)
        ]
        if all(trained):
            one, two = ([s.forward + s.backward for s in some] for some in trained)
            first, second = ([s.seconds for s in some] for some in trained)
            made.append(Work(setting.ratio(ir), (one, two), (first, second)))
    return made
