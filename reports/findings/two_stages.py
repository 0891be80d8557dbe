"""HARL against TAET: what do the cross-entropy epochs give, and at what cost?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.reports import text
from bench.reports.findings.block import RECIPE, SPLIT, Block, Spot, name
from bench.reports.findings.difference import COLUMNS, Difference, differences, told
from bench.reports.findings.layout import between, middle, missing, points, table
from bench.reports.findings.question import Answer, Question

TWO_STAGES, ONE_STAGE = "taet", "harl"
ATTACKS = ("clean", "pgd-20", "aa")

#: ratio, test split, attack
Key = tuple[float, str, str]
#: passes of one image, seconds; of each training
Work = tuple[list[float], list[float]]


def answer(block: Block) -> Answer | None:
    """Two stages minus one, on both test splits; and what the trainings cost."""
    places: dict[Key, tuple[Spot, Spot]] = {
        (ir, split, attack): (Spot(block.config(ir, TWO_STAGES), attack, split),
                              Spot(block.config(ir, ONE_STAGE), attack, split))
        for ir in block.irs(TWO_STAGES, ONE_STAGE) for split in block.splits for attack in ATTACKS
    }  # fmt: skip
    found = differences(block, places)
    if not found:
        return None
    one, two = (name(block.config(next(iter(found))[0], method)) for method in (ONE_STAGE, TWO_STAGES))
    absent = [spot for key, spots in places.items() if key not in found for spot in spots if not block.at(spot)]
    trained = block.seeds(block.config(ir, method) for ir, *_ in places for method in (TWO_STAGES, ONE_STAGE))
    return Answer(
        f"{two} minus {one}: {_short(block, found)}. {_share(block, two, one)}",
        (
            f"{two} minus {one}: what changes when the first epochs are cross-entropy on clean images.",
            table(
                ["IR", "test split", "attack", one, two, *COLUMNS],
                [[block.ratio(ir), split, attack, points(d.b), points(d.a), *d.columns()]
                 for (ir, split, attack), d in found.items()],
            ),
            *_costs(block, two, one),
            *missing(block.commands(absent, trained)),
        ),
    )  # fmt: skip


def _short(block: Block, found: dict[Key, Difference]) -> str:
    strongest = [attack for attack in ATTACKS if any(attack == other for *_, other in found)][-1]
    named = {
        (ir, split, attack): f"{attack}, IR {block.ratio(ir)}" + ("" if split == SPLIT else f", {split} split")
        for ir, split, attack in found
    }
    headline = [label for (_, split, attack), label in named.items() if (split, attack) == (SPLIT, strongest)]
    return told({named[key]: one for key, one in found.items()}, headline)


# --------------------------------------------------------------------------------------------------- what it costs


def _share(block: Block, two: str, one: str) -> str:
    shares = [float(np.mean(second[0]) / np.mean(first[0])) for _, first, second in _trainings(block)]
    return f"{two} trains with {between(shares, 3)} of the passes of {one}." if shares else ""


def _costs(block: Block, two: str, one: str) -> Iterator[str]:
    rows = [
        [block.ratio(ir), middle(first[0]), middle(second[0]),
         text.number(float(np.mean(second[0]) / np.mean(first[0])), 3), middle(first[1]), middle(second[1])]
        for ir, first, second in _trainings(block)
    ]  # fmt: skip
    if rows:
        yield (
            "What a training costs: passes of one image, forward and backward together, and seconds by the clock, "
            "which depend on what else the machine did."
        )
        yield table(["IR", f"{one} passes", f"{two} passes", "share", f"{one} s", f"{two} s"], rows)


def _trainings(block: Block) -> list[tuple[float, Work, Work]]:
    """(ratio, one stage, two stages) where both were trained as the paper states them."""
    both = [(ir, _work(block, ir, ONE_STAGE), _work(block, ir, TWO_STAGES)) for ir in block.irs(TWO_STAGES)]
    return [line for line in both if line[1][0] and line[2][0]]


def _work(block: Block, ir: float, method: str) -> Work:
    chosen = (block.config(ir, method), RECIPE)
    stages = [s for cell, run in block.runs.items() if run == chosen and (s := block.stage(cell, "train"))]
    return [s["forward"] + s["backward"] for s in stages], [s["seconds"] for s in stages]


QUESTION = Question(
    "TAET against HARL",
    "HARL against TAET: what do the cross-entropy epochs give?",
    "bench run --methods harl,taet --datasets cifar10lt --irs 10 --models resnet18",
    answer,
)
