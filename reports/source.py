"""A store read once, indexed the way tables ask: setting -> configuration -> attack -> one `Evaluation` a seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from bench.config import parse_variant, variant_label
from bench.judge import stats
from bench.judge.audits import Audited, audits
from bench.judge.audits import estimate as audited
from bench.judge.evaluations import Evaluation, evaluations
from bench.store import query
from bench.store.bulk import gathering
from bench.store.counts import complaint
from bench.store.parts.record import CellRecord
from bench.store.parts.tunings import tunings
from bench.store.results import Results
from bench.store.where import SETTING, Where

T = TypeVar("T")
Params = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Config:
    """One row's worth of training runs: everything but the seed."""

    ir: float
    model: str
    method: str
    params: Params = ()

    @property
    def variant(self) -> str:
        """The settings as rows have them: `beta=0.05`."""
        return variant_label("", dict(self.params))[1:-1]

    @property
    def label(self) -> str:
        """`taet` or `taet[beta=0.05]`, as `--methods` reads it."""
        return variant_label(self.method, dict(self.params))


def params_of(variant: str) -> Params:
    """`step=1/255,steps=5` as sorted pairs."""
    return tuple(sorted(parse_variant(f"x[{variant}]")[1].items())) if variant else ()


def counted(one: Evaluation, metric: str, position: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, correct) that a metric is of: all classes, or for `class` the one at a position."""
    some = slice(position, position + 1) if metric == "class" else slice(None)
    return one.n[some].astype(float), one.correct[some].astype(float)


class Source:
    """One results folder, or one per_class.csv (then there is nothing about the runs but their rows)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.is_folder = not root.is_file()
        self.results = Results(root) if self.is_folder else None
        self.rows = query.read_rows(root) if self.results is None else self.results.rows
        self.problems: list[str] = [] if self.results is None else self.results.problems
        cells = [] if self.results is None else self.results.cells
        self.tunings, wrong = tunings(root) if self.is_folder else ([], [])
        self.problems += wrong
        self.cells: dict[str, CellRecord] = {cell.id: cell for cell in cells}
        self._estimates: dict[tuple[tuple[Evaluation, ...], str, int], stats.Estimate] = {}
        self.files: dict[Path, Any] = {}
        self._made: dict[str, Any] = {}
        self.index: dict[Where, dict[Config, dict[str, list[Evaluation]]]] = {}
        self.by_cell: dict[str, dict[str, list[Evaluation]]] = defaultdict(lambda: defaultdict(list))
        self.ratios: dict[str, float] = {}
        self._build()

    @gathering()
    def _build(self) -> None:
        frame = self._sound(self.rows).reset_index(drop=True)
        index: dict[Where, dict[Config, dict[str, list[Evaluation]]]] = {}
        read, settings = attrgetter(*SETTING), dict[tuple[Any, ...], Where]()
        for one in chain(evaluations(frame, self.cells), audits(self.cells.values())):
            where = one.where
            shared = read(where)
            if shared not in settings:
                settings[shared] = replace(where.only(SETTING), reduced=_bare(where.reduced))
            setting = settings[shared]
            config = Config(where.ir, where.model, where.method, where.params)
            index.setdefault(setting, {}).setdefault(config, {}).setdefault(where.attack, []).append(one)
            self.ratios[one.cell] = where.ir
            if not one.chain:  # an audit has no counts to show
                self.by_cell[one.cell][where.test_split].append(one)
        self.index = {s: index[s] for s in sorted(index)}

    def _sound(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows without cells whose counts cannot be; what is wrong with those becomes a problem of the store."""
        if rows.empty or not complaint(rows):
            return rows
        wrong = {str(cell): why for cell, some in rows.groupby("cell", sort=False) if (why := complaint(some))}
        self.problems += [
            f"{why}; its numbers are left out, run `bench verify` to find more." for why in wrong.values()
        ]
        return rows[~rows["cell"].isin(wrong)]

    @cached_property
    def places(self) -> dict[str, Where]:
        """The coordinates of every cell, test split and attack left open."""
        if self.results is not None:
            return {name: Where.of(cell.made) for name, cell in self.cells.items()}
        found = self.rows.drop_duplicates("cell").to_dict("records")
        return {row["cell"]: replace(Where.of_row(row), test_split="", attack="") for row in found}

    def keep(self, cells: Set[str]) -> None:
        """Leave only these cells."""
        self.cells = {name: cell for name, cell in self.cells.items() if name in cells}
        self.places = {cell: where for cell, where in self.places.items() if cell in cells}
        for cell in [cell for cell in self.by_cell if cell not in cells]:
            del self.by_cell[cell]
        self.rows = self.rows[self.rows["cell"].isin(cells)]
        left: dict[Where, dict[Config, dict[str, list[Evaluation]]]] = {}
        for setting, configs in self.index.items():
            for config, attacks in configs.items():
                for attack, found in attacks.items():
                    if some := [e for e in found if e.cell in cells]:
                        left.setdefault(setting, {}).setdefault(config, {})[attack] = some
        self.index = left

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What several tables and figures need of the whole store, made when it is first asked for."""
        if name not in self._made:
            self._made[name] = make()
        made: T = self._made[name]
        return made

    def evaluations(self, setting: Where, config: Config, attack: str) -> list[Evaluation]:
        """What is there of a configuration under an attack, one a seed; empty when nothing is."""
        return self.index.get(setting, {}).get(config, {}).get(attack, [])

    def estimate(self, found: Sequence[Evaluation], metric: str, position: int = 0) -> stats.Estimate:
        """The metric of evaluations that differ only in their seed; `class`: the recall of the class at a position."""
        key = (tuple(found), metric, position)
        if key not in self._estimates and any(e.chain for e in found):
            seeds = [
                (e.n.astype(float), e.correct.astype(float), e.shares if isinstance(e, Audited) else None)
                for e in found
            ]
            self._estimates[key] = audited(metric, seeds, position if metric == "class" else None)
        if key not in self._estimates:
            n, correct = zip(*(counted(e, metric, position) for e in found), strict=True)
            self._estimates[key] = stats.estimate("balanced" if metric == "class" else metric, n, correct)
        return self._estimates[key]

    def configs(self, setting: Where) -> list[Config]:
        """Configurations measured under a setting, in a fixed order: a method as it is, then its variants."""
        found = self.index.get(setting, {})
        return sorted(found, key=lambda c: (c.ir, c.model, c.method, len(c.params), str(c.params)))

    def attacks(self, settings: Iterable[Where]) -> list[str]:
        """Attack labels measured under these settings, in the order of strength, unknown ones last."""
        found = {a for s in settings for attacks in self.index.get(s, {}).values() for a in attacks}
        return sorted(found, key=lambda a: (_ORDER.get(a, len(_ORDER)), a))

    @cached_property
    def failures(self) -> dict[tuple[Any, ...], list[CellRecord]]:
        """Failed cells by (data set, imbalance ratio or None, model, method, settings)."""
        found: dict[tuple[Any, ...], list[CellRecord]] = defaultdict(list)
        for cell in self.cells.values():
            if cell.status == "failed":
                spec = cell.made
                ratio = None if spec.ir is None else round(spec.ir, 2)
                key = (spec.dataset, ratio, spec.model, spec.method + spec.enhanced, params_of(spec.variant))
                found[key].append(cell)
        return found

    def failed(self, setting: Where, config: Config) -> list[CellRecord]:
        """Failed cells of a configuration; a cell without a ratio of its own (natural data) fits any."""
        tail = (config.model, config.method, config.params)
        keys = ((setting.dataset, config.ir, *tail), (setting.dataset, None, *tail))
        return [c for key in keys for c in self.failures.get(key, ()) if c.made.recipe.name == setting.recipe]

    def damaged(self, cell: str) -> bool:
        """Whether one of a cell's files could not be read."""
        return any(str(self.folder(cell)) in problem for problem in self.problems)

    def folder(self, cell: str) -> Path:
        """Where a cell's files are."""
        return self.root / cell


def _bare(reduced: str) -> str:
    """`epochs=3 of 100, limit=50` -> `epochs=3, limit=50`."""
    return ", ".join(part.partition(" of ")[0] for part in reduced.split(", ")) if reduced else ""


_ORDER = {
    a: i for i, a in enumerate(("clean", "fgsm", "pgd-20", "pgd-100", "cw-l2", "cw-linf", "aa", "aa-10", "worst"))
}
