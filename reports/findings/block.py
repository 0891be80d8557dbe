"""Which cells may stand in one table: a `Block` is a `Where` with one network, without the axes that are asked about.

Test split and recipe are such axes, as are method, ratio and seed; everything else of a `Where` (data set, pixel
source, how far the run is reduced, precision, radius, selection, class order, benchmark version) and the network tell
blocks apart. No number of the page is taken over two blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.config import BENCHMARK_VERSION, REFERENCE_EPS, format_value
from bench.reports import commands, paper
from bench.reports.drawing import inputs
from bench.reports.findings.layout import WEAKER
from bench.reports.footnote import radius
from bench.reports.pairing import Pair, Pairs
from bench.reports.panels import is_paper
from bench.reports.source import Config, Evaluation, Source
from bench.store.where import Where

#: the paper's own values of the two axes
SPLIT, RECIPE = "long-tailed", "paper"
#: the attack by which methods are compared
STRONGEST = "aa"
#: data set and network of the paper's main tables
DATASET, MODEL = "cifar10lt", "resnet18"


@dataclass(frozen=True)
class Spot:
    """One place of a block: a configuration, an attack, a test split and a recipe; it holds an evaluation a seed."""

    config: Config
    attack: str
    split: str = SPLIT
    recipe: str = RECIPE


class Store:
    """A results folder as blocks, with the bit of every image."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = Source(root)
        self.pairs = Pairs(self.source)
        self._adversarial: dict[str, bool] = {}
        keys = {(_common(setting), config.model) for setting in self.source.index
                for config in self.source.index[setting]}  # fmt: skip
        # The paper's own block first, then by name: numbers are given in this order.
        ordered = sorted(keys, key=lambda key: (not _own(*key), key))
        self.blocks = [Block(self, *key, i) for i, key in enumerate(ordered, 1)]

    def adversarial(self, cell: str) -> bool:
        """Whether a cell had an epoch of adversarial training, by its stored epochs; False when it has none."""
        if cell not in self._adversarial:
            epochs = inputs.curves(self.source, cell)
            self._adversarial[cell] = bool("phase" in epochs and epochs["phase"].ne("natural").any())
        return self._adversarial[cell]


class Block:
    """The cells of one setting and network. `number` is its name on the page."""

    def __init__(self, store: Store, setting: Where, model: str, number: int) -> None:
        self.store, self.setting, self.model, self.number = store, setting, model, number

    # ---------------------------------------------------------------------------------------------- what it is

    @property
    def own(self) -> bool:
        """Whether these are the paper's main settings: CIFAR-10-LT itself, ResNet-18, the full recipe."""
        return _own(self.setting, self.model)

    @property
    def of_file(self) -> bool:
        """Whether its data are a file of the user's."""
        return ":" in self.setting.dataset

    @cached_property
    def title(self) -> str:
        """Everything that tells it from other blocks, beginning with the data and where the pixels come from."""
        s = self.setting
        own_pixels = s.source == paper.ORIGINAL.get(s.dataset)
        # The heading's first words are the test split, which is an axis here.
        parts = [
            paper.DATA_LABEL[s.dataset] if own_pixels
            else f"{s.dataset}, pixels from {s.source} — not the paper's data",
            paper.MODEL_LABEL.get(self.model, self.model),
            replace(s, test_split=SPLIT, recipe=RECIPE).heading().partition(", ")[2],
        ]  # fmt: skip
        if abs(s.eps - REFERENCE_EPS) > 1e-6:
            parts.append(f"radius {radius(s.eps)}")
        if s.benchmark != BENCHMARK_VERSION:
            parts.append(f"benchmark version {s.benchmark}")
        return "; ".join(part for part in parts if part)

    def place(self, split: str = SPLIT, recipe: str = RECIPE) -> Where:
        """The setting with both axes filled in."""
        return replace(self.setting, test_split=split, recipe=recipe)

    # ------------------------------------------------------------------------------------------- what is in it

    @cached_property
    def recipes(self) -> list[str]:
        """Recipes that were run, the paper's first."""
        found = {s.recipe for s in self.store.source.index if _common(s) == self.setting}
        return sorted(found, key=lambda name: (name != RECIPE, name))

    @cached_property
    def splits(self) -> list[str]:
        """Test splits that were attacked, the long-tailed one first."""
        found = {s.test_split for s in self.store.source.index if _common(s) == self.setting}
        return sorted(found, key=lambda name: (name != SPLIT, name))

    @cached_property
    def strongest(self) -> str:
        """AutoAttack; where the block has an audit of it alone, that, under its own name."""
        audits = sorted(spot.attack for spot, one in self.evaluations if one.audit)
        return STRONGEST if not audits or any(spot.attack == STRONGEST for spot, _ in self.evaluations) else audits[0]

    @property
    def attacks(self) -> tuple[str, ...]:
        """What methods are compared under, the weakest first."""
        return (*WEAKER, self.strongest)

    def configs(self, split: str = SPLIT, recipe: str = RECIPE) -> list[Config]:
        """Configurations of this network, by ratio and method."""
        found = self.store.source.configs(self.place(split, recipe))
        return [config for config in found if config.model == self.model]

    def config(self, ir: float, method: str) -> Config:
        """A method as the paper states it, measured or not."""
        return Config(ir, self.model, method)

    def irs(self, *methods: str) -> list[float]:
        """Ratios at which any of these methods was run with the paper's recipe, plain."""
        found = {c.ir for split in self.splits for c in self.configs(split) if c.method in methods and not c.params}
        return sorted(found)

    def at(self, spot: Spot) -> list[Evaluation]:
        """Evaluations of a place, by seed."""
        found = self.store.source.evaluations(self.place(spot.split, spot.recipe), spot.config, spot.attack)
        return sorted(found, key=lambda e: e.seed)

    def compared(self, a: Spot, b: Spot) -> Pair | None:
        """The paired comparison of two places; None where none of their evaluations can be paired."""
        return self.store.pairs.compared(self.at(a), a.split, self.at(b), b.split)

    @cached_property
    def evaluations(self) -> list[tuple[Spot, Evaluation]]:
        """Everything in it, with its place."""
        index = self.store.source.index
        return [
            (Spot(config, attack, setting.test_split, setting.recipe), one)
            for setting in index if _common(setting) == self.setting
            for config, attacks in index[setting].items() if config.model == self.model
            for attack, found in attacks.items() for one in found
        ]  # fmt: skip

    @cached_property
    def runs(self) -> dict[str, tuple[Config, str]]:
        """Cell id -> its configuration and recipe."""
        return {one.cell: (spot.config, spot.recipe) for spot, one in self.evaluations}

    def facts(self, cell: str) -> dict[str, Any]:
        """The cell.json of a cell."""
        return self.store.source.cells[cell]

    def stage(self, cell: str, name: str) -> dict[str, Any] | None:
        """What a stage of a cell took; None when it was not run, as the training of a network from elsewhere.

        Cells of such networks that older versions wrote hold a training without a pass.
        """
        found: dict[str, Any] = self.facts(cell).get("stages", {}).get(name, {})
        return found if found.get("forward") else None

    # --------------------------------------------------------------------------------------------- how it is told

    def ratio(self, ir: float) -> str:
        """`10`, or `natural (58.66)` for data with an imbalance of their own."""
        own = "" if np.isnan(ir) else format_value(ir)
        if self.setting.natural:
            return f"natural ({own})" if own else "natural"
        return own

    def commands(self, wants: Iterable[Spot], seeds: Sequence[int] = ()) -> list[str]:
        """What measures these places."""
        by_place: dict[Where, list[tuple[Config, str]]] = {}
        for spot in wants:
            by_place.setdefault(self.place(spot.split, spot.recipe), []).append((spot.config, spot.attack))
        return [line for setting, some in by_place.items() for line in commands.run(setting, some, seeds)]

    def seeds(self, configs: Iterable[Config]) -> list[int]:
        """All seeds with which these configurations were run."""
        chosen = set(configs)
        return sorted({one.seed for spot, one in self.evaluations if spot.config in chosen})


def name(config: Config, recipe: str = RECIPE) -> str:
    """`TAET`, `TAET[beta=0]`, `TAET (official)`."""
    label = paper.method_label(config.label)
    return label if recipe == RECIPE else f"{label} ({recipe})"


def _common(setting: Where) -> Where:
    return replace(setting, test_split="", recipe="")


def _own(setting: Where, model: str) -> bool:
    return model == MODEL and is_paper(replace(setting, test_split=SPLIT, recipe=RECIPE), DATASET)
