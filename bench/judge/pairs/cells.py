"""The finished cells of a store with their verdicts image by image: counted ones, audits, the worst case over attacks.

Two evaluations belong together (`common`) when they are of one attack on one test split; the worst case only where it
is over the same attacks; an audit with an audit of the same chain, or with the chain itself, under a name that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.audit.images import images
from bench.config import TEST_SPLITS, CellSpec
from bench.errors import StoreError
from bench.judge.paired import Bits
from bench.store.results import Results
from bench.store.rows import WORST, counted, of_split, taken_over, worst_case
from bench.store.schema import REACHED

#: between the names of two evaluations that are compared and not called alike
AGAINST = " against "


@dataclass(frozen=True)
class Cell:
    """A finished cell: its spec, cell.json and the store that it is of."""

    spec: CellSpec
    info: dict[str, Any]
    store: Results

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.store.folder(str(self.info["id"]))

    def evaluated(self, test_split: str = "") -> set[str]:
        """Labels of what can be compared on a test split (empty: on any)."""
        splits = [split for split in TEST_SPLITS if test_split in ("", split)]
        worst = {WORST} if any(map(self.over, splits)) else set[str]()
        return {label for split in splits for label in (*of_split(self.info, split), *self.audits(split))} | worst

    def splits(self) -> set[str]:
        """The test splits it was evaluated on."""
        return {key.partition("/")[0] for key in self.info["evaluations"]}

    def over(self, test_split: str) -> tuple[str, ...]:
        """The attacks over which the worst case of a test split is taken."""
        return tuple(taken_over(of_split(self.info, test_split), self.spec.threat.eps))

    def audits(self, test_split: str) -> dict[str, Mapping[str, Any]]:
        """Facts of every audit of a test split that left images out and can be paired, by label.

        That needs to know which images are right without attack, and no answer that was refused.
        """
        if not self.clean(test_split):
            return {}
        found = self.info["evaluations"].items()
        mine = {key.partition("/")[2]: f for key, f in found if key.startswith(f"{test_split}/") and not counted(f)}
        return {label: f for label, f in mine.items() if not f.get("refused")}

    def clean(self, test_split: str) -> str:
        """The evaluation without attack; empty where there is none."""
        return next((label for label, f in of_split(self.info, test_split).items() if f.get("norm") == "none"), "")

    def of_chain(self, test_split: str, chain: str) -> str:
        """The best that there is of a chain of attacks: itself, an audit that became whole, an audit; or nothing."""
        counted = of_split(self.info, test_split)
        whole = (label for label, f in counted.items() if f.get("audit", {}).get("continues") == chain)
        parts = (label for label, f in self.audits(test_split).items() if f["audit"]["continues"] == chain)
        return chain if chain in counted else next(iter((*sorted(whole), *sorted(parts))), "")

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Bits of every evaluation by `<split>/<attack>`, the worst case among them, with indices and labels."""
        found = dict(self.store.samples(str(self.info["id"])))
        for split in TEST_SPLITS:
            facts = of_split(self.info, split)
            correct = {attack: found[f"{split}/{attack}"] for attack in facts if f"{split}/{attack}" in found}
            worst = worst_case(facts, correct, self.spec.threat.eps) if len(correct) == len(facts) else None
            found |= {} if worst is None else {f"{split}/{WORST}": worst}
        return found

    def bits(self, test_split: str, attack: str) -> Bits:
        """One evaluation image by image. Raises StoreError when the bits are not there or do not fit together."""
        audit = self.audits(test_split).get(attack)
        names = [attack, "index", "label", *([attack + REACHED, self.clean(test_split)] if audit else [])]
        keys = [f"{test_split}/{name}" for name in names]
        missing = [key for key in keys if key not in self.samples]
        if missing:
            raise StoreError(f"{self.folder} has no bits for {missing[0]}; run `bench run` for this cell again.")
        correct, index, label, *more = (self.samples[key] for key in keys)
        if len({len(correct), len(index), len(label), *map(len, more)}) > 1:
            raise StoreError(f"{self.folder}: {keys[0]} and its indices differ in length; run `bench verify`.")
        index, label = index.astype(np.int64), label.astype(np.int64)
        said = None
        if audit:
            codes, clean = more
            said = images(
                codes.astype(np.int64), index, label, clean.astype(bool), audit["audit"], len(audit["stages"])
            )
        over = self.over(test_split) if attack == WORST else ()
        return Bits(index, label, correct.astype(bool), self.spec.id, over, said)


@dataclass(frozen=True)
class Common:
    """What two cells share of a test split: the name under which it is compared, and what each calls it."""

    split: str
    name: str
    a: str
    b: str

    @property
    def labels(self) -> set[str]:
        """What may be asked for to get it."""
        return {self.name, self.a, self.b}


def common(a: Cell, b: Cell, test_split: str = "") -> Iterator[Common]:
    """All that two cells share, in a fixed order."""
    for split in (s for s in TEST_SPLITS if test_split in ("", s)):
        mine, its = of_split(a.info, split), of_split(b.info, split)
        worst = {WORST} if a.over(split) and a.over(split) == b.over(split) else set[str]()
        for label in sorted((mine.keys() & its.keys()) | worst):
            yield Common(split, label, label, label)
        chains = {f["audit"]["continues"] for cell in (a, b) for f in cell.audits(split).values()}
        for chain in sorted(chains):
            first, second = a.of_chain(split, chain), b.of_chain(split, chain)
            if first and second and not (first == second and first in mine):
                yield Common(split, first if first == second else first + AGAINST + second, first, second)


def finished(store: Results) -> list[Cell]:
    """Cells of a store with at least one evaluation, by id."""
    return [Cell(store.spec(info["id"]), info, store) for info in store.cells if info.get("evaluations")]
