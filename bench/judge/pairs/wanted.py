"""What is asked of a comparison: which cells, which evaluations of them, by what number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.judge.pairs.cells import Cell, Common, common
from bench.judge.selected import filtered
from bench.judge.stats import LEVEL
from bench.store.where import canonical


@dataclass(frozen=True)
class Wanted:
    """Which evaluations of which cells (empty: all), the metric (of `bench.judge.metrics.METRICS`), and the coverage of
    the intervals, in (0, 1). Attacks are as in `bench run`.
    """

    attacks: tuple[str, ...] = ()
    dataset: str = ""
    ir: str = ""
    test_split: str = ""
    metric: str = "balanced"
    level: float = LEVEL

    def __post_init__(self) -> None:
        """Attacks by their one spelling."""
        object.__setattr__(self, "attacks", tuple(map(canonical, self.attacks)))

    def of(self, cells: Iterable[Cell], root: Path) -> list[Cell]:
        """The cells that it is about. Raises UsageError for a data set or ratio that leaves none."""
        return filtered(cells, root, dataset=self.dataset, ir=self.ir)

    def shared(self, a: Cell, b: Cell) -> list[Common]:
        """The evaluations of a pair that it is about."""
        both = common(a, b, self.test_split)
        return [what for what in both if not self.attacks or what.labels & {*self.attacks}]

    def lacking(self, pairs: Iterable[tuple[Cell, Cell]]) -> list[str]:
        """Its attacks that no pair was evaluated with."""
        there = set[str]().union(*(what.labels for a, b in pairs for what in common(a, b, self.test_split)))
        return [attack for attack in self.attacks if attack not in there]
