"""What did it cost: seconds, achieved rate and peak memory of every stage, and the targets of speed for one H100."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.reports.findings.numbers import middle
from bench.reports.findings.setting import RECIPE, SPLIT, Setting, name
from bench.reports.source import Config

#: a stage of a cell as cell.json holds it
Stage = dict[str, Any]

#: kinds of epochs, as the training loop names them
PHASES = ("natural", "adversarial")
CARD, IR, BATCH = "H100", 10.0, 128


@dataclass(frozen=True)
class Work:
    """What some stages took, all of a kind: `labels` in front, `epochs`: seconds of an epoch of each of `PHASES`."""

    labels: tuple[str, ...]
    stages: Sequence[Stage]
    epochs: tuple[Sequence[float], ...] = ()

    def numbers(self, decimals: int = 0) -> list[str]:
        """Median seconds and passes a second, from least to most in brackets, and the highest peak that is known."""
        rates = [(s["forward"] + s["backward"]) / s["seconds"] if s["seconds"] else math.nan for s in self.stages]
        memory = max((s["peak_memory_mib"] for s in self.stages if s["peak_memory_mib"] is not None), default=math.nan)
        return [middle([s["seconds"] for s in self.stages], decimals), middle(rates), middle([memory])]


@dataclass(frozen=True)
class Cost:
    """Trainings by method, attacks by ratio and test split."""

    devices: Sequence[str]
    trainings: Sequence[Work]
    attacks: Sequence[Work]

    @property
    def told(self) -> list[Work]:
        """All trainings, and AutoAttack on the long-tailed split; without what was not run."""
        trained = [s for work in self.trainings for s in work.stages]
        whole = [s for work in self.attacks if work.labels[1:] == (SPLIT, "aa") for s in work.stages]
        return [work for work in (Work(("a training",), trained), Work(("AutoAttack",), whole)) if work.stages]


@dataclass(frozen=True)
class Target:
    """At most `seconds` for a stage at `IR` with batches of `BATCH`; an empty method means any."""

    text: str
    stage: str
    method: str
    seconds: float


TARGETS = (
    Target("100 epochs of AT", "train", "at", 180.0),
    Target("100 epochs of TAET", "train", "taet", 120.0),
    Target("AutoAttack of the 4,084 long-tailed test images", f"{SPLIT}/aa", "", 60.0),
)


def cost(setting: Setting) -> Cost | None:
    """Of methods as their papers state them; attacks with the paper's recipe only."""
    trainings = _trainings(setting)
    attacks: dict[tuple[float, str, str], list[Stage]] = {}
    for spot, one in setting.evaluations:
        stage = setting.stage(one.cell, f"{spot.split}/{spot.attack}")
        if stage and spot.recipe == RECIPE and not spot.config.params:
            attacks.setdefault((spot.config.ir, spot.split, spot.attack), []).append(stage)
    order = setting.source.attacks(setting.place(split) for split in setting.splits)
    ordered = sorted(attacks, key=lambda key: (key[0], key[1] != SPLIT, order.index(key[2])))
    devices = {f"{d['kind'].upper()} ({d['name']})" for cell in setting.runs for d in [setting.facts(cell)["device"]]}
    made = Cost(sorted(devices), trainings, [Work((setting.ratio(k[0]), *k[1:]), attacks[k]) for k in ordered])
    return made if trainings or attacks else None


def _trainings(setting: Setting) -> list[Work]:
    found: dict[tuple[Config, str], list[str]] = {}
    ordered = sorted(
        setting.runs.items(), key=lambda run: (run[1][0].ir, run[1][0].method, run[1][1] != RECIPE, run[0])
    )
    for cell, run in ordered:
        if not run[0].params and setting.stage(cell, "train"):
            found.setdefault(run, []).append(cell)
    made = []
    for (config, recipe), cells in found.items():
        curves = [f for cell in cells if len(f := setting.curves(cell))]
        epochs = tuple([float(f.loc[f["phase"].eq(p), "seconds"].median()) for f in curves] for p in PHASES)
        stages = [setting.facts(cell)["stages"]["train"] for cell in cells]
        made.append(Work((setting.ratio(config.ir), name(config, recipe)), stages, epochs))
    return made


@dataclass(frozen=True)
class Met:
    """What is known of a target: rows of (work, labelled with device and precision; `yes`, `no` or `another card`)."""

    target: Target
    rows: Sequence[tuple[Work, str]]

    @property
    def met(self) -> bool:
        """Whether it was met on any device it is for."""
        return any(verdict == "yes" for _, verdict in self.rows)


def targets(settings: Sequence[Setting]) -> list[Met]:
    """Each target beside what cells of the paper's own settings took on a GPU."""
    return [Met(target, _measured(settings, target)) for target in TARGETS]


def _measured(settings: Sequence[Setting], target: Target) -> list[tuple[Work, str]]:
    found: dict[tuple[str, str], list[Stage]] = {}
    for setting in settings:
        for cell, (config, recipe) in setting.runs.items() if setting.own else ():
            facts, stage = setting.facts(cell), setting.stage(cell, target.stage)
            suits = (
                config.ir == IR and recipe == RECIPE and not config.params and target.method in ("", config.method)
                and facts["device"]["kind"] == "cuda" and facts["spec"]["recipe"]["batch_size"] == BATCH
            )  # fmt: skip
            if suits and stage:
                found.setdefault((facts["device"]["name"], setting.where.precision), []).append(stage)
    return [(Work(labels, stages), _verdict(labels[0], target, stages)) for labels, stages in sorted(found.items())]


def _verdict(device: str, target: Target, stages: Sequence[Stage]) -> str:
    within = all(s["seconds"] <= target.seconds for s in stages)
    return ("yes" if within else "no") if CARD in device else "another card"
