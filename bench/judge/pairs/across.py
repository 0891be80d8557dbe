"""One method in two settings of the protocol: pairs of its cells that differ in one coordinate and in nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.config import CellSpec
from bench.errors import UsageError, did_you_mean
from bench.judge.pairs.cells import Cell
from bench.judge.pairs.partners import SHARED, TOLD, said

#: what chooses other images, of which nothing can be paired
IMAGES = ("dataset", "natural", "ir", "limit", "selection", "class_order")
#: what one method's cells can be compared across; seeds are pooled
ACROSS = tuple(name for name in TOLD if name not in (*IMAGES, "seed"))


@dataclass(frozen=True)
class Across:
    """One coordinate (of ACROSS) and two values of it, as they are printed: `precision`, `bf16`, `fp32`."""

    name: str
    first: str
    second: str

    @classmethod
    def parse(cls, text: str) -> Across:
        """From `precision=bf16,fp32`. Raises UsageError."""
        name, _, values = text.partition("=")
        two = [value.strip() for value in values.split(",")]
        if name in IMAGES:
            raise UsageError(f"--across '{text}': {name} chooses other images, and nothing is paired; compare methods.")
        if name not in ACROSS:
            raise UsageError(f"--across '{text}' names no coordinate of cells. {did_you_mean(name, ACROSS)}")
        if len(two) != 2 or "" in two or two[0] == two[1]:
            raise UsageError(f"--across '{text}' has not two values; write for instance --across precision=bf16,fp32.")
        return cls(name, *two)

    def sides(self, cells: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
        """The cells that have the first value, and those that have the second. Raises UsageError."""
        read = TOLD[self.name]
        by_value: dict[str, list[Cell]] = {}
        for cell in cells:
            by_value.setdefault(said(read(cell.spec)), []).append(cell)
        for value in (self.first, self.second):
            if value not in by_value:
                there = ", ".join(sorted(by_value))
                raise UsageError(f"no finished cell has {self.name} '{value}'; what there is has {there}.")
        return by_value[self.first], by_value[self.second]

    def pairs(self, first: Sequence[Cell], second: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
        """Those of both sides that are equal in all else."""
        rest = [read for name, read in TOLD.items() if name != self.name]
        partner = {tuple(read(cell.spec) for read in rest): cell for cell in second}
        keys = [(cell, tuple(read(cell.spec) for read in rest)) for cell in first]
        return [(cell, partner[key]) for cell, key in keys if key in partner]

    def place(self, spec: CellSpec) -> dict[str, Any]:
        """What both cells of a pair share, by name."""
        told = {name: each(spec) for name, each in SHARED.items() if name != self.name}
        if self.name == "epochs":
            told["reduced"] = "" if spec.limit is None else f"limit={spec.limit}"
        return told
