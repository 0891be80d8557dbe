"""Questions about what of a method does it: its loss or its stages, the parts of the loss, the training attack."""

from __future__ import annotations

from bench.reports import paper
from bench.reports.findings.gap import Case
from bench.reports.findings.questions import ONE_STAGE, OURS, OWN, RIVAL, TWO_STAGES, Paired, ask
from bench.reports.findings.setting import Setting, Spot, name
from bench.reports.source import Config, params_of

#: what changes between two methods -> the first and the second, of which all else is equal
FACTORS = {
    "loss (one stage)": (ONE_STAGE, RIVAL),
    "loss (two stages)": (TWO_STAGES, OWN[0]),
    "stages (AT-BSL's loss)": (OWN[0], RIVAL),
    "stages (hierarchical loss)": (TWO_STAGES, ONE_STAGE),
}
#: those of them that change the loss
LOSS = tuple(label for label in FACTORS if label.startswith("loss"))
#: methods that are trained with the hierarchical loss, and the setting that weighs a part of it -> the part
HIERARCHICAL, PARTS = ("harl", "taet"), {"alpha": "BCL", "beta": "HDL", "gamma": "RCEL"}
#: other values of TAET's settings: clean epochs (0 are `harl`), steps and step sizes of the paper's Tables 9 and 10
VARIED = ("ce_epochs=20", "ce_epochs=60", "step=1/255,steps=5", "step=1/255", "step=1/255,steps=20",
          "step=1/255,steps=30", "step=1/255,steps=40", "step=3/255")  # fmt: skip
#: the ends between which the paper says that robustness rises: of its step sizes, and its best number of steps
SIZES, STEPS = ("step=3/255", "step=1/255"), ("step=1/255,steps=30", "step=1/255")


def origin(setting: Setting) -> Paired:
    """Where does the distance between TAET and AT-BSL come from? Its loss and its stages, each with the other equal."""
    irs = [ir for ir in setting.irs(OWN[0]) if ir in setting.irs(ONE_STAGE)] or setting.irs(OURS, RIVAL)[:1]
    cases = [
        Case(
            (setting.ratio(ir), what, paper.method_label(a), paper.method_label(b), attack),
            Spot(setting.config(ir, a), attack),
            Spot(setting.config(ir, b), attack),
            f"{what}, {attack}, IR {setting.ratio(ir)}",
        )
        for ir in irs
        for what, (a, b) in FACTORS.items()
        for attack in setting.attacks
    ]
    return ask(setting, cases)


def parts(setting: Setting) -> Paired:
    """Which part of the hierarchical loss matters? Each configuration without a part minus the whole loss."""
    there = [c for c in setting.configs() if c.method in HIERARCHICAL and without(c)]
    irs = sorted({c.ir for c in there}) or setting.irs(*HIERARCHICAL)[:1]
    singles = [Config(ir, setting.model, m, ((part, 0),)) for ir in irs for m in HIERARCHICAL for part in PARTS]
    cases = [
        Case(
            (setting.ratio(c.ir), _whole(c), " and ".join(without(c)), attack),
            Spot(c, attack),
            Spot(setting.config(c.ir, c.method), attack),
            f"{_whole(c)} without {' and '.join(without(c))}, {attack}, IR {setting.ratio(c.ir)}",
        )
        for c in dict.fromkeys([*there, *singles])
        for attack in setting.attacks
    ]
    return ask(setting, cases, named=lambda case: len(case.a.config.params) == 1, group=lambda case: case.labels[1])


def varied(setting: Setting) -> Paired:
    """What do TAET's other settings change? Each minus TAET as its paper states it; of the attack's, their ends too."""
    there = [c for c in setting.configs() if c.method == OURS and c.params and not without(c)]
    irs = setting.irs(OURS)[:1] or sorted({c.ir for c in there})[:1]
    asked = {text: Config(ir, setting.model, OURS, params_of(text)) for ir in irs for text in VARIED}
    pairs = [(c, setting.config(c.ir, OURS)) for c in dict.fromkeys([*there, *asked.values()])]
    ends = [(asked[a], asked[b]) for a, b in (SIZES, STEPS)] if asked else []
    cases = [
        Case(
            (setting.ratio(a.ir), name(a), name(b), attack),
            Spot(a, attack),
            Spot(b, attack),
            f"{name(a)} minus {name(b)}, {attack}, IR {setting.ratio(a.ir)}",
        )
        for a, b in [*pairs, *ends]
        for attack in setting.attacks
    ]
    return ask(setting, cases)


def without(config: Config) -> list[str]:
    """The parts of the loss that a configuration leaves out; empty when it differs in anything else."""
    left_out = [key for key, value in config.params if key in PARTS and value == 0]
    return [PARTS[key] for key in left_out] if len(left_out) == len(config.params) else []


def _whole(config: Config) -> str:
    return name(Config(config.ir, config.model, config.method))
