"""Which cells may stand in one table: a `Setting` is a `Where` with one network, without the axes that are asked about.

Test split and recipe are such axes, as are method, ratio and seed; everything else of a `Where` tells settings apart.
No number of the page is taken over two settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench.config import BENCHMARK_VERSION, PRECISIONS, REFERENCE_EPS, format_value
from bench.judge.evaluations import Evaluation
from bench.reports import commands, paper
from bench.reports.drawing import inputs
from bench.reports.findings.numbers import WEAKER
from bench.reports.footnote import radius
from bench.reports.paired.pairing import SCOPE, Pair, Pairs
from bench.reports.panels import is_paper
from bench.reports.source import Config, Source
from bench.sizes import read_facts
from bench.store.parts.record import CellRecord, StageFacts
from bench.store.where import Where

#: the paper's own values of the two axes; the attack by which methods are compared
SPLIT, RECIPE, STRONGEST = "long-tailed", "paper", "aa"
#: data set and network of the paper's main tables
DATASET, MODEL = "cifar10lt", "resnet18"


@dataclass(frozen=True)
class Spot:
    """One place of a setting: a configuration, an attack, a test split and a recipe; it holds an evaluation a seed."""

    config: Config
    attack: str
    split: str = SPLIT
    recipe: str = RECIPE


def _autoattack(often: Mapping[str, int], audits: Sequence[str]) -> str:
    """AutoAttack; where an audit of it is there more often, that, under its own name."""
    return audits[0] if audits and often.get(audits[0], 0) > often.get(STRONGEST, 0) else STRONGEST


class Setting:
    """The cells of one results folder with these conditions and network. `number`: its name on the page."""

    def __init__(self, source: Source, pairs: Pairs, where: Where, model: str) -> None:
        self.source, self.where, self.model, self.number = source, where, model, 0
        self._pairs, self._compared = pairs, dict[tuple[Spot, Spot, str], Pair | None]()
        self.places = {
            Spot(config, attack, place.test_split, place.recipe): sorted(found, key=lambda e: e.seed)
            for place in source.index
            if _common(place) == where
            for config, by_attack in source.index[place].items()
            if config.model == model
            for attack, found in by_attack.items()
        }
        self.evaluations = [(spot, one) for spot, found in self.places.items() for one in found]
        #: cell id -> its configuration and recipe
        self.runs = {one.cell: (spot.config, spot.recipe) for spot, one in self.evaluations}
        self.splits = sorted({s.split for s in self.places}, key=lambda name: (name != SPLIT, name))
        self.recipes = sorted({s.recipe for s in self.places}, key=lambda name: (name != RECIPE, name))
        audits = sorted(spot.attack for spot, one in self.evaluations if one.chain)
        self.strongest = _autoattack(Counter(spot.attack for spot in self.places), audits)
        #: what methods are compared under, the weakest first
        self.attacks = (*WEAKER, self.strongest)

    # ---------------------------------------------------------------------------------------------- what it is

    @cached_property
    def own(self) -> bool:
        """Whether these are the paper's main settings: CIFAR-10-LT itself, ResNet-18, the full recipe."""
        return self.model == MODEL and is_paper(self.place(), DATASET)

    @property
    def of_file(self) -> bool:
        """Whether its data are a file of the user's."""
        return ":" in self.where.dataset

    @property
    def medical(self) -> bool:
        """Whether its images are those of the paper's Table 3, or like them, with the imbalance that they have."""
        return self.where.natural and self.where.source.startswith(paper.MEDICAL)

    @property
    def held(self) -> bool:
        """Whether all its trainings hold images out, to choose by."""
        return all(self.facts(cell).made.recipe.validation for cell in self.runs)

    @property
    def scale(self) -> tuple[str, str, str]:
        """What makes a number large or small work: network, how far the run is reduced, precision."""
        return self.model, self.where.reduced, self.where.precision

    @cached_property
    def strength(self) -> tuple[Any, ...]:
        """Sorts settings: the paper's own, then the largest network, the least reduced run, the longest training."""
        trained = [s.forward + s.backward for cell in self.runs if (s := self.stage(cell, "train"))]
        passes = float(np.median(trained)) if trained else 0.0
        cuts = len(self.where.reduced.split(", ")) if self.where.reduced else 0
        known = read_facts().get(self.model)
        size = known.parameters if known else 0
        return not self.own, -size, cuts, -passes, self.where, self.model

    @cached_property
    def data(self) -> str:
        """The data set, and where its pixels come from: stand-ins never have the name of what they stand for."""
        w = self.where
        if self.original:
            return paper.DATA_LABEL[w.dataset]
        return f"{w.dataset}, pixels from {w.source} — not the paper's data"

    @cached_property
    def title(self) -> str:
        """Everything that tells it from other settings, beginning with the data."""
        return f"{self.data}; {self.run}"

    @cached_property
    def run(self) -> str:
        """The network and what is reduced or otherwise unlike the reference."""
        w = self.where
        # The heading's first words are the test split, which is an axis here.
        parts = [paper.MODEL_LABEL.get(self.model, self.model), self.place().heading().partition(", ")[2]]
        if abs(w.eps - REFERENCE_EPS) > 1e-6:
            parts.append(f"radius {radius(w.eps)}")
        if w.benchmark != BENCHMARK_VERSION:
            parts.append(f"benchmark version {w.benchmark}")
        return "; ".join(part for part in parts if part)

    @cached_property
    def short(self) -> str:
        """Data set, network and how it is reduced: `archive:x, small-cnn, epochs=12, limit=500`."""
        name = paper.DATA_LABEL[self.where.dataset] if self.original else self.where.dataset
        return ", ".join(x for x in (name, *self._cut) if x)

    @cached_property
    def heading(self) -> str:
        """The same with a mark where the pixels are not the paper's: what stands over every table."""
        precision = "" if self.where.precision == PRECISIONS[0] else self.where.precision
        mark = "" if self.original else "not the paper's data"
        return ", ".join(x for x in (self.short, precision, mark) if x)

    @property
    def original(self) -> bool:
        """Whether the pixels are those of the data set that it is named after in the paper."""
        return self.where.source == paper.ORIGINAL.get(self.where.dataset)

    @property
    def _cut(self) -> tuple[str, str]:
        return paper.MODEL_LABEL.get(self.model, self.model), self.where.reduced

    def place(self, split: str = SPLIT, recipe: str = RECIPE) -> Where:
        """Its coordinates with both axes filled in."""
        return replace(self.where, test_split=split, recipe=recipe)

    def ratio(self, ir: float) -> str:
        """`10`, or `natural (58.66)` for data with an imbalance of their own."""
        own = "" if np.isnan(ir) else format_value(ir)
        return (f"natural ({own})" if own else "natural") if self.where.natural else own

    # ------------------------------------------------------------------------------------------- what is in it

    def configs(self, split: str = SPLIT, recipe: str = RECIPE) -> list[Config]:
        """Configurations by ratio and method."""
        return [c for c in self.source.configs(self.place(split, recipe)) if c.model == self.model]

    def config(self, ir: float, method: str) -> Config:
        """A method as the paper states it, measured or not."""
        return Config(ir, self.model, method)

    def irs(self, *methods: str) -> list[float]:
        """Ratios at which any of these methods was run with the paper's recipe, plain."""
        return sorted({c.ir for s in self.splits for c in self.configs(s) if c.method in methods and not c.params})

    def at(self, spot: Spot) -> list[Evaluation]:
        """Evaluations of a place, by seed."""
        return self.places.get(spot, [])

    def compared(self, a: Spot, b: Spot, scope: str = SCOPE) -> Pair | None:
        """The paired comparison of two places; None where none of their evaluations can be paired."""
        if (a, b, scope) not in self._compared:
            self._compared[a, b, scope] = self._pairs.compared(self.at(a), a.split, self.at(b), b.split, scope=scope)
        return self._compared[a, b, scope]

    def bare(self) -> set[str]:
        """Cells with an evaluation without the bit of each image."""
        return {e.cell for spot, e in self.evaluations if self._pairs.bits(e.cell, spot.split, spot.attack) is None}

    def facts(self, cell: str) -> CellRecord:
        """The record of a cell."""
        return self.source.cells[cell]

    def stage(self, cell: str, name: str) -> StageFacts | None:
        """What a stage of a cell took; None when it was not run, as the training of a network from elsewhere.

        Cells of such networks that older versions wrote hold a training without a pass.
        """
        found = self.facts(cell).stages.get(name)
        return found if found is not None and found.forward else None

    def curves(self, cell: str) -> Any:
        """epochs.csv of a cell; empty when there is none."""
        return inputs.curves(self.source, cell)

    def commands(self, wants: Iterable[Spot], configs: Iterable[Config]) -> list[str]:
        """What measures these places, with all seeds with which these configurations were run."""
        chosen = set(configs)
        seeds = sorted({one.seed for spot, one in self.evaluations if spot.config in chosen})
        by_place: dict[Where, list[tuple[Config, str]]] = {}
        for spot in dict.fromkeys(wants):
            by_place.setdefault(self.place(spot.split, spot.recipe), []).append((spot.config, spot.attack))
        return [line for place, some in by_place.items() for line in commands.run(place, some, seeds)]


def settings(sources: Sequence[Source]) -> list[Setting]:
    """All settings of these results folders, the strongest first."""
    made = []
    for source in sources:
        pairs = Pairs(source)
        keys = {(_common(place), c.model) for place, configs in source.index.items() for c in configs}
        made += [Setting(source, pairs, *key) for key in sorted(keys)]
    return sorted(made, key=lambda setting: setting.strength)


def name(config: Config, recipe: str = RECIPE) -> str:
    """`TAET`, `TAET[beta=0]`, `TAET (official)`."""
    label = paper.method_label(config.label)
    return label if recipe == RECIPE else f"{label} ({recipe})"


def _common(place: Where) -> Where:
    return replace(place, test_split="", recipe="")
