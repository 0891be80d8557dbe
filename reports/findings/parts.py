"""Which part of HARL's loss matters: what is lost without BCL, HDL or RCEL?"""

from __future__ import annotations

from bench.reports import paper
from bench.reports.findings.block import SPLIT, Block, Spot, name
from bench.reports.findings.difference import COLUMNS, Difference, differences, told
from bench.reports.findings.layout import ABSENT, missing, points, table
from bench.reports.findings.question import Answer, Question
from bench.reports.source import Config

#: methods that are trained with the hierarchical loss
METHODS = ("harl", "taet")
ATTACKS = ("clean", "pgd-20", "aa")
#: setting that weighs a part of the loss -> the part
PARTS = {"alpha": "BCL", "beta": "HDL", "gamma": "RCEL"}

#: configuration without a part, attack
Key = tuple[Config, str]


def answer(block: Block) -> Answer | None:
    """Each configuration without a part minus the whole loss."""
    found: dict[Key, Difference] = differences(block, {
        (config, attack): (Spot(config, attack), Spot(block.config(config.ir, config.method), attack))
        for config in block.configs() if config.method in METHODS and _without(config) for attack in ATTACKS
    })  # fmt: skip
    if not found:
        return None
    rows = [
        [block.ratio(config.ir), _whole(config), " and ".join(_without(config)), attack, points(one.b), points(one.a),
         *one.columns()] for (config, attack), one in found.items()
    ]  # fmt: skip
    absent, seeds = _absent(block, found), block.seeds(config for config, _ in found)
    unknown = ", ".join(paper.method_label(method) for method in METHODS if _strongest(found, method) is None)
    return Answer(
        f"Without a part minus the whole loss: {_short(block, found)}"
        + (f"; {ABSENT}: {unknown}." if unknown else "."),
        (
            "The hierarchical loss without a part (BCL: the classes' mean loss; HDL: their spread; RCEL: their "
            f"concentration) minus the whole loss, {SPLIT} test split. *Worse*: the part is needed.",
            table(["IR", "method", "without", "attack", "whole loss", "without it", *COLUMNS], rows),
            *missing(block.commands(absent, seeds)),
        ),
    )


def _without(config: Config) -> list[str]:
    """The parts of the loss that a configuration leaves out; empty when it differs in anything else."""
    left_out = [key for key, value in config.params if key in PARTS and value == 0]
    return [PARTS[key] for key in left_out] if len(left_out) == len(config.params) else []


def _whole(config: Config) -> str:
    return name(Config(config.ir, config.model, config.method))


def _strongest(found: dict[Key, Difference], method: str) -> str | None:
    """The strongest attack under which a method without a part was measured."""
    known = {attack for config, attack in found if config.method == method}
    return next((attack for attack in reversed(ATTACKS) if attack in known), None)


def _short(block: Block, found: dict[Key, Difference]) -> str:
    named = {
        (config, attack): f"{_whole(config)} without {' and '.join(_without(config))}, {attack}, "
        f"IR {block.ratio(config.ir)}" for config, attack in found
    }  # fmt: skip
    headline = [label for (config, attack), label in named.items()
                if attack == _strongest(found, config.method) and len(config.params) == 1]  # fmt: skip
    return told({named[key]: one for key, one in found.items()}, headline)


def _absent(block: Block, found: dict[Key, Difference]) -> list[Spot]:
    """Single parts of both methods that lack a cell, at the ratios where any was left out."""
    return [
        Spot(config, attack)
        for ir in sorted({config.ir for config, _ in found}) for method in METHODS for part in PARTS
        for config in [Config(ir, block.model, method, ((part, 0),))] for attack in ATTACKS
        if not block.at(Spot(config, attack))
    ]  # fmt: skip


QUESTION = Question(
    "The parts of HARL's loss",
    "Which part of HARL matters?",
    "bench run --methods 'harl,harl[alpha=0],harl[beta=0],harl[gamma=0]' --datasets cifar10lt --irs 10 "
    "--models resnet18",
    answer,
)
