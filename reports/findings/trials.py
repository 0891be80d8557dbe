"""How a choice was made without test images: trainings that hold a part of theirs out, and what they reach on it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from bench.reports.epochs import VALIDATION
from bench.reports.findings.numbers import points
from bench.reports.findings.setting import Setting, name
from bench.reports.source import Config

#: settings of the recipe that every one of them has
HELD_OUT = ("select", "validation")


@dataclass(frozen=True)
class Trial:
    """A training that holds a share of each class out. `passes`: of it, forward and backward together.

    `last`, `best`: balanced accuracy (fraction) on what is held out after the last and the best epoch, under `judge`.
    """

    setting: Setting
    ratio: str
    method: str
    judge: str
    share: float
    seed: int
    passes: float
    last: float
    best: float

    @property
    def place(self) -> tuple[int, str, float, str]:
        """What trials must share to be ranked: setting, judge, share and ratio."""
        return self.setting.number, self.judge, self.share, self.ratio

    @property
    def columns(self) -> list[str]:
        """Method, million passes, seed, last and best epoch."""
        return [self.method, f"{self.passes / 1e6:.2f}", str(self.seed), points(self.last), points(self.best)]


def trials(found: Sequence[Setting]) -> list[Trial]:
    """All of these settings, those first that end best under one judge on one share."""
    made = []
    for setting in found:
        for cell, (config, recipe) in setting.runs.items():
            spec, stage, log = setting.facts(cell).made, setting.stage(cell, "train"), setting.curves(cell)
            if not spec.recipe.validation or spec.recipe.judge is None or stage is None or VALIDATION not in log:
                continue
            params = tuple(p for p in config.params if p[0] not in HELD_OUT)
            label = name(Config(config.ir, config.model, config.method, params), recipe)
            reached = log[VALIDATION]
            made.append(
                Trial(
                    setting,
                    setting.ratio(config.ir),
                    label,
                    spec.recipe.judge,
                    spec.recipe.validation,
                    spec.seed,
                    stage.forward + stage.backward,
                    float(reached.iloc[-1]),
                    float(reached.max()),
                )
            )
    return sorted(made, key=lambda one: (*one.place, -one.last))


def together(found: Sequence[Trial]) -> list[list[Trial]]:
    """The trials that can be ranked: those of one setting, ratio and share, under one judge."""
    return [list(some) for _, some in itertools.groupby(found, key=lambda one: one.place)]
