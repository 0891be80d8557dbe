"""The finished cells of a store with their verdicts image by image: counted ones, audits, the worst case over attacks.

Two evaluations belong together (`common`) when they are of one attack on one test split; the worst case only where it
is over the same attacks; an audit with an audit of the same chain, or with the chain itself, under a name that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.audit.images import images
from bench.audit.kept import Kept
from bench.config import TEST_SPLITS, CellSpec
from bench.errors import StoreError
from bench.judge import metrics
from bench.judge.paired import Bits
from bench.store.flags import audit_flags
from bench.store.parts.record import CellRecord, Key
from bench.store.results import Results
from bench.store.rows import WORST, shared_flags, taken_over, worst_case
from bench.store.schema import REACHED

#: between the names of two evaluations that are compared and not called alike
AGAINST = " against "


class Sampled(NamedTuple):
    """An audit that left images out, and how many stages its chain has."""

    audit: Kept
    stages: int


@dataclass(frozen=True)
class Cell:
    """A finished cell: its record and the store that it is of."""

    record: CellRecord
    store: Results

    @property
    def spec(self) -> CellSpec:
        """What it is."""
        return self.record.made

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.store.folder(self.record.id)

    def evaluated(self, test_split: str = "") -> set[str]:
        """Labels of what can be compared on a test split (empty: on any)."""
        splits = [split for split in TEST_SPLITS if test_split in ("", split)]
        worst = {WORST} if any(map(self.over, splits)) else set[str]()
        return {label for split in splits for label in (*self.record.counted(split), *self.audits(split))} | worst

    def splits(self) -> set[str]:
        """The test splits it was evaluated on."""
        return {Key.of(key).split for key in self.record.evaluations}

    def over(self, test_split: str) -> tuple[str, ...]:
        """The attacks over which the worst case of a test split is taken."""
        return tuple(taken_over(self.record.counted(test_split), self.spec.threat.eps))

    def audits(self, test_split: str) -> dict[str, Sampled]:
        """Every audit of a test split that left images out and can be paired, by label.

        That needs to know which images are right without attack, and no answer that was refused.
        """
        if not self.clean(test_split):
            return {}
        found = self.record.on(test_split).items()
        return {
            label: Sampled(f.audit, len(f.stages))
            for label, f in found
            if f.audit is not None and not f.counted and not f.refused
        }

    def clean(self, test_split: str) -> str:
        """The evaluation without attack; empty where there is none."""
        return next((label for label, f in self.record.counted(test_split).items() if f.norm == "none"), "")

    def of_chain(self, test_split: str, chain: str) -> str:
        """The best that there is of a chain of attacks: itself, an audit that became whole, an audit; or nothing."""
        counted = self.record.counted(test_split)
        whole = (label for label, f in counted.items() if f.audit is not None and f.audit.continues == chain)
        parts = (label for label, sampled in self.audits(test_split).items() if sampled.audit.continues == chain)
        return chain if chain in counted else next(iter((*sorted(whole), *sorted(parts))), "")

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Bits of every evaluation by `<split>/<attack>`, the worst case among them, with indices and labels."""
        found = dict(self.store.samples(self.record.id))
        for split in TEST_SPLITS:
            facts = self.record.counted(split)
            correct = {attack: found[f"{split}/{attack}"] for attack in facts if f"{split}/{attack}" in found}
            worst = worst_case(facts, correct, self.spec.threat.eps) if len(correct) == len(facts) else None
            found |= {} if worst is None else {f"{split}/{WORST}": worst}
        return found

    def bits(self, test_split: str, attack: str) -> Bits:
        """One evaluation image by image. Raises StoreError when the bits are not there or do not fit together."""
        sampled = self.audits(test_split).get(attack)
        names = [attack, "index", "label", *([attack + REACHED, self.clean(test_split)] if sampled else [])]
        keys = [f"{test_split}/{name}" for name in names]
        missing = [key for key in keys if key not in self.samples]
        if missing:
            raise StoreError(f"{self.folder} has no bits for {missing[0]}; run `bench run` for this cell again.")
        correct, index, label, *more = (self.samples[key] for key in keys)
        if len({len(correct), len(index), len(label), *map(len, more)}) > 1:
            raise StoreError(f"{self.folder}: {keys[0]} and its indices differ in length; run `bench verify`.")
        index, label = index.astype(np.int64), label.astype(np.int64)
        said = None
        if sampled:
            codes, clean = more
            said = images(codes.astype(np.int64), index, label, clean.astype(bool), sampled.audit, sampled.stages)
        over = self.over(test_split) if attack == WORST else ()
        return Bits(index, label, correct.astype(bool), self.spec.id, over, said, self._flags(test_split, attack, over))

    def _flags(self, test_split: str, attack: str, over: tuple[str, ...]) -> tuple[str, ...]:
        facts = self.record.on(test_split)
        if attack in facts and not facts[attack].counted:
            return audit_flags(self.record, test_split, attack)
        return tuple(shared_flags(facts[name].flags for name in over or (attack,) if name in facts))


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
        mine, its = a.record.counted(split), b.record.counted(split)
        worst = {WORST} if a.over(split) and a.over(split) == b.over(split) else set[str]()
        for label in sorted((mine.keys() & its.keys()) | worst):
            yield Common(split, label, label, label)
        chains = {sampled.audit.continues for cell in (a, b) for sampled in cell.audits(split).values()}
        for chain in sorted(chains):
            first, second = a.of_chain(split, chain), b.of_chain(split, chain)
            if first and second and not (first == second and first in mine):
                yield Common(split, first if first == second else first + AGAINST + second, first, second)


def finished(store: Results) -> list[Cell]:
    """Cells of a store with at least one evaluation, by id."""
    return [Cell(record, store) for record in store.cells if record.evaluations]


def class_weights(metric: str, cell: CellRecord, bits: Bits) -> dict[int, float] | None:
    """How much each class counts in a metric; None where all count alike, or it is no mean of classes.

    Raises StoreError where none of the classes that it is about has test images.
    """
    if not metrics.is_mean(metric) or metric == "balanced":
        return None
    found = _weights(metric, cell, bits)
    if np.isnan(found).any():
        raise StoreError(f"no class of the {metric} has test images in {cell.id}; compare by another --metric.")
    return dict(zip(cell.seen.frequent_first, found.tolist(), strict=True))


def has_images(metric: str, cell: CellRecord, bits: Bits) -> bool:
    """Whether a class that a metric is about has test images."""
    return not metrics.is_mean(metric) or not np.isnan(_weights(metric, cell, bits)).any()


def _weights(metric: str, cell: CellRecord, bits: Bits) -> metrics.Floats:
    """How much each class counts, the most frequent first; NaN where none does."""
    order = cell.seen.frequent_first
    return metrics.weights(metric, np.bincount(bits.label, minlength=len(order))[order])
