"""Questions about tricks: is one method better than the other with equal tricks, and what is each trick worth."""

from __future__ import annotations

from bench.reports import paper
from bench.reports.findings.gap import Case
from bench.reports.findings.questions import OURS, RIVAL, Paired, ask
from bench.reports.findings.setting import Setting, Spot

#: tricks that both methods are given
TRICKS = ("awp", "balanced-sampler", "ema", "robustlt", "awp+balanced-sampler+ema+robustlt")
#: the trick of the second paper; its own tail (the rarest 80 % of the classes), the rare half and the frequent half
WRAPPER, CLASSES = "+robustlt", ("tail-80", "tail", "head")


def tricks(setting: Setting) -> Paired:
    """Is TAET better than AT-BSL with equal tricks? And plain, at the same ratios."""
    pairs = [(ir, some) for ir, found in _tricks(setting).items() for some in ("", *found)]
    cases = [
        _trick(setting, ir, f"{OURS}{some}", f"{RIVAL}{some}", attack)
        for ir, some in pairs
        for attack in setting.attacks
    ]
    equal = [case for case in cases if "+" in case.a.config.method]
    return ask(setting, cases if any(not case.lacking(setting) for case in equal) else equal)


def gains(setting: Setting) -> Paired:
    """What is each trick worth at each of both?"""
    cases = [
        _trick(setting, ir, f"{base}{some}", base, attack)
        for ir, found in _tricks(setting).items()
        for some in found
        for base in (RIVAL, OURS)
        for attack in setting.attacks
    ]
    return ask(setting, cases)


def rare(setting: Setting) -> Paired:
    """Does RobustLT help the rare classes, all else equal, and what do the frequent ones pay?"""
    cases = [
        Case(
            (setting.ratio(ir), paper.method_label(base), classes, attack),
            Spot(setting.config(ir, f"{base}{WRAPPER}"), attack),
            Spot(setting.config(ir, base), attack),
            f"{classes}, {paper.method_label(base)}, {attack}, IR {setting.ratio(ir)}",
            classes,
        )
        for ir, found in _tricks(setting).items()
        if WRAPPER in found
        for base in (RIVAL, OURS)
        for classes in CLASSES
        for attack in setting.attacks
    ]
    return ask(setting, cases)


def _tricks(setting: Setting) -> dict[float, list[str]]:
    """The tricks (`+ema`) with which both or one were run, by ratio; where there are none, those to ask for."""
    there: dict[float, set[str]] = {}
    for c in setting.configs():
        base, plus, some = c.method.partition("+")
        if plus and base in (OURS, RIVAL) and not c.params:
            there.setdefault(c.ir, set()).add(plus + some)
    asked = there or {ir: {f"+{some}" for some in TRICKS} for ir in setting.irs(OURS, RIVAL)[-1:]}
    return {ir: sorted(some, key=lambda text: (text.count("+"), text)) for ir, some in asked.items()}


def _trick(setting: Setting, ir: float, a: str, b: str, attack: str) -> Case:
    labels = paper.method_label(a), paper.method_label(b)
    return Case(
        (setting.ratio(ir), *labels, attack),
        Spot(setting.config(ir, a), attack),
        Spot(setting.config(ir, b), attack),
        f"{' minus '.join(labels)}, {attack}, IR {setting.ratio(ir)}",
    )
