"""What did it cost: seconds, achieved rate and peak memory of every stage, and the targets of speed for one H100."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.reports.findings.numbers import middle
from bench.reports.findings.setting import RECIPE, SPLIT, Setting, name
from bench.store.parts.record import StageFacts

#: kinds of epochs, as the training loop names them
PHASES = ("natural", "adversarial")
CARD, IR, BATCH = "H100", 10.0, 128


@dataclass
class Work:
    """What some stages took, all of a kind: `labels` in front, `epochs`: seconds of an epoch of each of `PHASES`."""

    labels: tuple[str, ...]
    stages: list[StageFacts] = field(default_factory=list)
    epochs: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    def numbers(self, decimals: int = 0) -> list[str]:
        """Median seconds and passes a second, from least to most in brackets, and the highest peak that is known."""
        rates = [(s.forward + s.backward) / s.seconds if s.seconds else math.nan for s in self.stages]
        memory = max((s.peak_memory_mib for s in self.stages if s.peak_memory_mib is not None), default=math.nan)
        return [middle([s.seconds for s in self.stages], decimals), middle(rates), middle([memory])]


@dataclass(frozen=True)
class Cost:
    """Trainings by method, attacks by ratio and test split; of methods as their papers state them."""

    devices: Sequence[str]
    trainings: Sequence[Work]
    attacks: Sequence[Work]

    #: what it costs comes with every cell; there is nothing to run for it
    commands: Sequence[str] = ()

    def __len__(self) -> int:
        """How many kinds of training and attack were run."""
        return len(self.trainings) + len(self.attacks)

    @property
    def told(self) -> list[Work]:
        """All trainings, and AutoAttack on the long-tailed split; without what was not run."""
        trained = [s for work in self.trainings for s in work.stages]
        whole = [s for work in self.attacks if work.labels[1:] == (SPLIT, "aa") for s in work.stages]
        return [work for work in (Work(("a training",), trained), Work(("AutoAttack",), whole)) if work.stages]


def cost(setting: Setting) -> Cost | None:
    """What did it cost? Attacks with the paper's recipe only."""
    trainings, attacks = dict[Any, Work](), dict[Any, Work]()
    ordered = sorted(setting.runs.items(), key=lambda r: (r[1][0].ir, r[1][0].method, r[1][1] != RECIPE, r[0]))
    for cell, (config, recipe) in ordered:
        if not config.params and (stage := setting.stage(cell, "train")):
            new = Work((setting.ratio(config.ir), name(config, recipe)))
            work, curves = trainings.setdefault((config, recipe), new), setting.curves(cell)
            work.stages.append(stage)
            for phase, seconds in zip(PHASES, work.epochs, strict=True):
                if len(curves):
                    seconds.append(float(curves.loc[curves["phase"].eq(phase), "seconds"].median()))
    order = setting.source.attacks(setting.place(split) for split in setting.splits)
    for spot, one in setting.evaluations:
        attacked = setting.stage(one.cell, f"{spot.split}/{spot.attack}")
        if attacked and spot.recipe == RECIPE and not spot.config.params:
            key = spot.config.ir, spot.split != SPLIT, spot.split, order.index(spot.attack)
            new = Work((setting.ratio(spot.config.ir), spot.split, spot.attack))
            attacks.setdefault(key, new).stages.append(attacked)
    devices = {d.label for cell in setting.runs if (d := setting.facts(cell).device) and d.label}
    made = Cost(sorted(devices), list(trainings.values()), [attacks[key] for key in sorted(attacks)])
    return made if trainings or attacks else None


@dataclass(frozen=True)
class Target:
    """At most `seconds` for a stage at `IR` with batches of `BATCH`; an empty method means any."""

    text: str
    stage: str
    method: str
    seconds: float

    def measured(self, settings: Sequence[Setting]) -> list[tuple[Work, str]]:
        """What cells of the paper's own settings took on a GPU, by device and precision: met, missed, another card."""
        found: dict[tuple[str, str], Work] = {}
        for setting in settings:
            for cell, (config, recipe) in setting.runs.items() if setting.own else ():
                record, stage = setting.facts(cell), setting.stage(cell, self.stage)
                suits = (
                    config.ir == IR
                    and recipe == RECIPE
                    and not config.params
                    and self.method in ("", config.method)
                    and record.made.recipe.batch_size == BATCH
                )
                if suits and stage and record.device and record.device.kind == "cuda":
                    labels = record.device.name, setting.where.precision
                    found.setdefault(labels, Work(labels)).stages.append(stage)
        return [(work, self._verdict(work)) for _, work in sorted(found.items())]

    def _verdict(self, work: Work) -> str:
        within = all(s.seconds <= self.seconds for s in work.stages)
        return ("yes" if within else "no") if CARD in work.labels[0] else "another card"


TARGETS = (
    Target("100 epochs of AT", "train", "at", 180.0),
    Target("100 epochs of TAET", "train", "taet", 120.0),
    Target("AutoAttack of the 4,084 long-tailed test images", f"{SPLIT}/aa", "", 60.0),
)
