"""What a file of `reports/figures` declares: which runs it needs, and how it draws what is there."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from bench.judge.evaluations import Evaluation
from bench.judge.stats import Estimate
from bench.reports import commands, paper
from bench.reports.drawing import draw, inputs
from bench.reports.model import Figure
from bench.reports.panels import OfPaper, Panel
from bench.reports.source import Config, Source

log = logging.getLogger(__name__)

#: a figure as bytes by suffix
Save = Callable[[Any], dict[str, bytes]]


@dataclass(frozen=True)
class Drawing:
    """What `draw` made: files, a text that says what is to be seen, and what was lacking (one phrase each)."""

    files: dict[str, bytes]
    alt: str
    lacks: Sequence[str] = field(default_factory=list)


class PaperFigure(OfPaper):
    """A figure of the paper. Declare the attributes, `wants` and `draw`.

    `measured`: whether it shows numbers at all. `logs`: it needs epochs.csv with these tracked attacks; `features`: it
    needs features.npz. All these exist only for runs that were asked for them.
    """

    logs: ClassVar[tuple[str, ...] | None] = None
    features: ClassVar[bool] = False
    measured: ClassVar[bool] = True

    def wants(self, panel: Panel) -> list[tuple[Config, str]]:
        """(configuration, attack) of every run the figure shows."""
        return []

    def draw(self, source: Source, panel: Panel, save: Save) -> Drawing | None:
        """The figure from what is there, or None when that is nothing. `save` makes the bytes of a figure."""
        raise NotImplementedError("abstract")

    # ------------------------------------------------------------------------------------------------ rendering

    def figures(
        self,
        source: Source,
        dataset: str | None = None,
        test_split: str | None = None,
        suffixes: Sequence[str] = ("svg", "pdf"),
    ) -> list[Figure]:
        """The paper's own rendering and one for every other setting that has at least two of its runs."""
        made: list[Figure] = []
        for panel in self.panels(source, dataset, test_split) if self.measured else [None]:
            title = f"Figure {self.number}" + (f".{len(made)}" if made else "")
            if panel is None:
                drawing = self.draw(source, None, partial(draw.files, key=self.name, suffixes=suffixes))  # type: ignore[arg-type]
                made.append(
                    Figure(
                        self.name, title, self.caption, drawing.alt if drawing else "", drawing.files if drawing else {}
                    )
                )
            elif panel.is_paper or self._worth(source, panel, dataset):
                figure = self._one(source, panel, title, suffixes)
                if panel.is_paper or figure.files:
                    made.append(figure)
        return made

    def _worth(self, source: Source, panel: Panel, dataset: str | None) -> bool:
        """Other settings of the paper's own data get a figure only when asked for by name."""
        own_data = panel.setting.source == paper.ORIGINAL[self.dataset]
        return len(self._there(source, panel)) >= 2 if dataset is None and not own_data else dataset is not None

    def _there(self, source: Source, panel: Panel) -> set[Config]:
        return {c for c, attack in self.wants(panel) if self.found(source, panel, c, attack)}

    def _one(self, source: Source, panel: Panel, title: str, suffixes: Sequence[str]) -> Figure:
        key = self.key(panel)
        save = partial(draw.files, key=key, suffixes=suffixes)
        drawing, broken = self._drawn(source, panel, save) if self._there(source, panel) else (None, [])
        absent = [(c, a) for c, a in self.wants(panel) if not self.found(source, panel, c, a)]
        lacks = [*_phrases(absent, self._kind()), *broken]
        if drawing is not None:
            lacks += drawing.lacks
        more = [*(("--track", ",".join(self.logs)) if self.logs else ()), *(("--features",) if self.features else ())]
        lines = commands.fill(source, panel.setting, absent, *more)
        if panel.is_paper and (drawing is None or (lacks and not absent)):
            lines = [commands.preset(source, self.name)]
        return Figure(
            key,
            title,
            self.caption,
            drawing.alt if drawing else "",
            drawing.files if drawing else {},
            self.data(panel),
            tuple(lacks),
            tuple(lines),
            self.words(panel),
        )

    def _drawn(self, source: Source, panel: Panel, save: Save) -> tuple[Drawing | None, list[str]]:
        """The drawing, or why there is none: whatever a plug-in or a stored file does, only this figure is lost."""
        try:
            return self.draw(source, panel, save), []
        except Exception as error:
            log.warning("%s could not be drawn", self.name, exc_info=True)
            return None, [f"it could not be drawn ({type(error).__name__}: {error})"]

    def _kind(self) -> str:
        """What a run lacks where it is more than the counts of an attack."""
        if self.features:
            return "features"
        if self.logs is None:
            return ""
        return f"curves ({', '.join(self.logs)})" if self.logs else "epoch log"

    # ------------------------------------------------------------------------------------------ for subclasses

    def found(self, source: Source, panel: Panel, config: Config, attack: str) -> list[Any]:
        """What the figure needs of one run: evaluations, or curves or features where it declares these."""
        if self.features:
            runs = evaluations(source, panel, config)
            return [(e.cell, f) for e in runs if (f := inputs.features(source, e.cell)) is not None]
        if self.logs is not None:
            return self.curves(source, panel, config)
        return list(source.evaluations(panel.setting, config, attack))

    def curves(self, source: Source, panel: Panel, config: Config) -> list[pd.DataFrame]:
        """epochs.csv of a configuration, one a seed; only those that track what the figure shows."""
        frames = [inputs.curves(source, e.cell) for e in evaluations(source, panel, config)]
        wanted = {f"{attack}:{c}" for attack in self.logs or () for c in range(len(panel.classes))}
        return [f for f in frames if len(f) and wanted <= set(f.columns)]

    def tracked(self, source: Source, panel: Panel, config: Config, attack: str) -> tuple[np.ndarray, np.ndarray]:
        """(epochs, recall E x C in per cent, classes by frequency) under a tracked attack, mean over seeds."""
        frames = self.curves(source, panel, config)
        some = evaluations(source, panel, config)[0]
        cell = source.cells[some.cell]
        n = np.asarray(cell.seen.test_counts["long-tailed"], dtype=float)
        order = cell.seen.frequent_first
        length = min(len(f) for f in frames)
        counts = np.mean([f[[f"{attack}:{c}" for c in range(len(n))]].to_numpy(float)[:length] for f in frames], axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = 100 * counts / n
        return frames[0]["epoch"].to_numpy()[:length] + 1, recall[:, order]


def evaluations(source: Source, panel: Panel, config: Config) -> list[Evaluation]:
    """One evaluation of each seed of a configuration, whatever the attack."""
    found = source.index.get(panel.setting, {}).get(config, {})
    return next(iter(found.values()), [])


def recall(source: Source, panel: Panel, config: Config, attack: str) -> np.ndarray | None:
    """Recall of each class in per cent, mean over seeds, classes by frequency; None when not measured."""
    found = source.evaluations(panel.setting, config, attack)
    if not found:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(100 * np.mean([e.correct / e.n for e in found], axis=0))


def value(source: Source, panel: Panel, config: Config, attack: str, metric: str = "balanced") -> float | None:
    """A metric in per cent, mean over seeds; None when not measured."""
    found = source.evaluations(panel.setting, config, attack)
    return 100 * source.estimate(found, metric).value if found else None


def measured(source: Source, panel: Panel, config: Config, attack: str, metric: str = "balanced") -> Estimate:
    """A metric with its intervals, as fractions; it must have been measured."""
    return source.estimate(source.evaluations(panel.setting, config, attack), metric)


def train_counts(source: Source, panel: Panel) -> np.ndarray:
    """Training images a class, by frequency, of the first run of the panel."""
    for config in source.configs(panel.setting):
        if config.ir in panel.irs and config.model in panel.models:
            return evaluations(source, panel, config)[0].counts.train
    return np.zeros(len(panel.classes))


def label(config: Config) -> str:
    """How a run is called in a legend."""
    return paper.method_label(config.label)


def _phrases(absent: Sequence[tuple[Config, str]], kind: str) -> list[str]:
    """What is missing, one phrase for all methods that lack the same (`kind`, or else attacks) at one ratio."""
    attacks: dict[Config, list[str]] = {}
    for config, attack in absent:
        attacks.setdefault(config, []).append(attack)
    groups: dict[tuple[str, str, str], list[str]] = {}
    for config, names in attacks.items():
        ratio = "" if math.isnan(config.ir) else f"IR {config.ir:g}, "
        where = (kind or ", ".join(names), ratio, paper.MODEL_LABEL.get(config.model, config.model))
        groups.setdefault(where, []).append(label(config))
    return [f"{what} of {', '.join(methods)} ({ratio}{model})" for (what, ratio, model), methods in groups.items()]
