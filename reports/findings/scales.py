"""What a scale gives for its cost: one method at one ratio with every network and reduction that was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.reports.findings.numbers import WEAKER
from bench.reports.findings.questions import RATIOS, RIVAL
from bench.reports.findings.setting import RECIPE, Setting, Spot, name
from bench.reports.source import Config

#: the split on which networks are compared: the most images
SPLIT = "balanced"


@dataclass(frozen=True)
class Scale:
    """A configuration in a setting: passes and minutes of a training (medians), balanced accuracies (fractions)."""

    setting: Setting
    config: Config
    seeds: int
    passes: float
    minutes: float
    clean: float
    robust: float

    @property
    def labels(self) -> tuple[str, ...]:
        """Data, network, method, how it is reduced, precision."""
        where = self.setting.where
        return where.dataset, self.setting.model, name(self.config), where.reduced or "—", where.precision


def scales(found: Sequence[Setting]) -> list[Scale]:
    """AT-BSL at IR 10 in every setting that trained it and attacked it on the balanced split, the cheapest first.

    With the method's parameters too (another schedule): what they give for the same passes is the question.
    """
    made = []
    for setting in found:
        configs = [c for c in setting.configs(SPLIT) if (c.ir, c.method) == (RATIOS[0], RIVAL)]
        for config in configs:
            both = [setting.at(Spot(config, attack, SPLIT)) for attack in WEAKER]
            trained = [
                stage
                for cell, run in setting.runs.items()
                if run == (config, RECIPE) and (stage := setting.stage(cell, "train"))
            ]
            if all(both) and trained:
                clean, robust = (setting.source.estimate(some, "balanced").value for some in both)
                passes = float(np.median([s.forward + s.backward for s in trained]))
                minutes = float(np.median([s.seconds for s in trained])) / 60
                made.append(Scale(setting, config, len(both[1]), passes, minutes, clean, robust))
    return sorted(made, key=lambda one: one.passes)
