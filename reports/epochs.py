"""Best and last epoch of trainings that keep the best one on validation images (`select=best[ATTACK]`).

Both are read of epochs.csv: the accuracy on the validation images of every epoch, and, of attacks that were followed
(`--track`), the counts of every class of the long-tailed test split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.judge.stats import Estimate, estimate
from bench.reports.drawing import inputs
from bench.reports.source import Config, Source
from bench.store.where import SETTING, Where

Floats = npt.NDArray[np.float64]
#: the test split on which attacks are followed
SPLIT = "long-tailed"
#: the column of the validation images, and how it is called
VALIDATION = "validation"
FOLLOWED = re.compile(r"(?P<attack>[^:]+):0")


@dataclass(frozen=True)
class Followed:
    """One training: `kept`, its best epoch (from 0); `judge`, the attack by which it is; its log, an epoch a row.

    `n`, `order`: test images of each class, and the classes from the most to the least frequent.
    """

    cell: str
    seed: int
    judge: str
    kept: int
    log: pd.DataFrame
    n: Floats
    order: npt.NDArray[np.int64]

    @property
    def attacks(self) -> list[str]:
        """The attacks that were followed in every epoch."""
        names = [m["attack"] for column in self.log.columns if (m := FOLLOWED.fullmatch(column))]
        return [name for name in names if self.log[self._columns(name)].notna().all(axis=None)]

    def _columns(self, attack: str) -> list[str]:
        return [f"{attack}:{c}" for c in range(len(self.n))]

    def counts(self, attack: str) -> Floats:
        """Correct images E x C, classes by frequency."""
        return self.log[self._columns(attack)].to_numpy(float)[:, self.order]

    @property
    def sizes(self) -> Floats:
        """Test images of the classes (C), by frequency."""
        return self.n[self.order]

    def curve(self, what: str) -> Floats:
        """Balanced accuracy in per cent of every epoch (E): on the validation images, or under an attack."""
        if what == VALIDATION:
            return 100 * self.log[VALIDATION].to_numpy(float)
        there = self.sizes > 0
        mean: Floats = 100 * (self.counts(what)[:, there] / self.sizes[there]).mean(axis=1)
        return mean


Runs = dict[Config, list[Followed]]


def followed(source: Source, dataset: str | None, test_split: str | None) -> dict[Where, Runs]:
    """The finished trainings of a store that keep their best epoch, by setting and configuration, one a seed."""
    found: dict[Where, Runs] = {}
    if test_split not in (None, SPLIT):
        return found
    for name, cell in sorted(source.cells.items()):
        spec = cell.made
        kept = cell.stages["train"].kept_epoch if "train" in cell.stages else None
        if spec.recipe.judge is None or kept is None or dataset not in (None, spec.dataset):
            continue
        log, data = inputs.curves(source, name), cell.seen
        if VALIDATION not in log or not 0 <= kept < len(log):
            continue
        where = replace(cell.place, test_split=SPLIT)
        one = Followed(
            name,
            spec.seed,
            spec.recipe.judge,
            kept,
            log,
            np.asarray(data.test_counts[SPLIT], float),
            np.asarray(data.frequent_first),
        )
        config = Config(where.ir, where.model, where.method, where.params)
        found.setdefault(replace(where.only(SETTING), eps=where.value("eps")), {}).setdefault(config, []).append(one)
    return found


def shared(runs: Sequence[Followed]) -> list[str]:
    """The attacks that every one of these trainings followed."""
    names = runs[0].attacks if runs else []
    return [name for name in names if all(name in run.attacks for run in runs)]


def at_epoch(runs: Sequence[Followed], attack: str, last: bool) -> Estimate:
    """Balanced accuracy under a followed attack in the best or last epoch, with its intervals, as a fraction."""
    rows = [len(run.log) - 1 if last else run.kept for run in runs]
    counts = [run.counts(attack)[row] for run, row in zip(runs, rows, strict=True)]
    return estimate("balanced", [run.sizes for run in runs], counts)
