"""What did it cost: seconds, achieved rate and peak memory of every stage."""

from __future__ import annotations

from bench.reports import text
from bench.reports.findings.block import RECIPE, SPLIT, Block, name
from bench.reports.findings.layout import middle, table
from bench.reports.findings.question import Answer, Question
from bench.reports.findings.stages import COLUMNS, Stage, numbers
from bench.reports.findings.targets import targets
from bench.reports.source import Config
from bench.store import query

#: kinds of epochs, as the training loop names them
PHASES = ("natural", "adversarial")

#: recipe, configuration
Training = tuple[str, Config]
#: ratio, test split, attack
Attack = tuple[float, str, str]


def answer(block: Block) -> Answer | None:
    """Trainings by method, attacks by ratio and test split."""
    trainings, attacks = _trainings(block), _attacks(block)
    if not trainings and not attacks:
        return None
    devices = sorted(
        {f"{d['kind'].upper()} ({d['name']})" for cell in block.runs for d in [block.facts(cell)["device"]]}
    )
    body = [
        f"On {', '.join(devices)}. Medians over cells, from least to most in brackets. A pass is one image forward or "
        "backward; seconds are by the clock, and nothing is known of what else ran; memory is allocated on a GPU, "
        "resident on a CPU, the highest of any cell."
    ]
    if trainings:
        body += ["Training:", table(
            ["IR", "method", "cells", *COLUMNS, "s a natural epoch", "s an adversarial epoch"],
            [[block.ratio(config.ir), name(config, recipe), str(len(cells)),
              *numbers([block.facts(cell)["stages"]["train"] for cell in cells]), *_epochs(block, cells)]
             for (recipe, config), cells in trainings.items()],
        )]  # fmt: skip
    if attacks:
        body += ["Attacks, over all methods with the paper's recipe:", table(
            ["IR", "test split", "attack", "cells", "images", *COLUMNS],
            [[block.ratio(ir), split, attack, str(len(found)), middle([s["images"] for s in found]),
              *numbers(found, 1)] for (ir, split, attack), found in attacks.items()],
        )]  # fmt: skip
    return Answer(_short(block, trainings, attacks), tuple(body))


def _trainings(block: Block) -> dict[Training, list[str]]:
    """Cells with a stored training, of methods as their papers state them."""
    found: dict[Training, list[str]] = {}
    ordered = sorted(block.runs.items(), key=lambda run: (run[1][0].ir, run[1][0].method, run[1][1] != RECIPE, run[0]))
    for cell, (config, recipe) in ordered:
        if not config.params and block.stage(cell, "train"):
            found.setdefault((recipe, config), []).append(cell)
    return found


def _epochs(block: Block, cells: list[str]) -> list[str]:
    """Seconds of an epoch of each kind."""
    curves = [query.curves(block.store.source.folder(cell)) for cell in cells]
    by_phase = (
        [float(frame.loc[frame["phase"].eq(phase), "seconds"].median()) for frame in curves if "phase" in frame]
        for phase in PHASES
    )
    return [middle(times, 1) for times in by_phase]


def _attacks(block: Block) -> dict[Attack, list[Stage]]:
    """Attack stages of methods as the paper states them, the weakest attack first."""
    order = block.store.source.attacks(block.place(split) for split in block.splits)
    found: dict[Attack, list[Stage]] = {}
    for spot, one in block.evaluations:
        stage = block.stage(one.cell, f"{spot.split}/{spot.attack}")
        if stage and spot.recipe == RECIPE and not spot.config.params:
            found.setdefault((spot.config.ir, spot.split, spot.attack), []).append(stage)
    return dict(sorted(found.items(), key=lambda item: (item[0][0], item[0][1] != SPLIT, order.index(item[0][2]))))


def _short(block: Block, trainings: dict[Training, list[str]], attacks: dict[Attack, list[Stage]]) -> str:
    trained = [block.facts(cell)["stages"]["train"] for cells in trainings.values() for cell in cells]
    whole = [s for (_, split, attack), found in attacks.items() if (split, attack) == (SPLIT, "aa") for s in found]
    told = []
    for what, stages in (("a training", trained), ("AutoAttack", whole)):
        if stages:
            seconds, rate, memory = numbers(stages)
            peak = f" and up to {memory} MiB" if memory != text.DASH else ""
            told.append(f"{what} took {seconds} s at {rate} passes/s{peak}")
    return f"Medians, least to most: {'; '.join(told)}." if told else "Only attacks other than AutoAttack were timed."


QUESTION = Question("Cost", "What did it cost?", "bench run --preset table1", answer, targets)
