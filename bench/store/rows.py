"""From a cell's facts and its per-image bits to `per_class.csv`: a pure function, so anybody can derive it again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.config import TEST_SPLITS
from bench.store.parts.record import CellRecord, EvaluationFacts
from bench.store.schema import LATER, PER_CLASS
from bench.store.where import USUAL, Where

#: label of the image-wise worst case over clean and every l_inf attack of the threat model's radius
WORST = "worst"


def build_rows(cell: CellRecord, bits: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The table of a cell: one row an evaluated attack, test split and class, ordered by split, attack and class.

    `bits`: per_sample.npz. Attacks stand in the order of their strength, then by name.
    """
    where, rows = _rows(cell, bits)
    kinds = columns(where)
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)


def rows_text(cell: CellRecord, bits: Mapping[str, np.ndarray], bare: bool = False) -> str:
    """The same as the text of per_class.csv, without pandas.

    `bare`: as it was written before the worst case inherited flags.
    """
    where, rows = _rows(cell, bits, bare)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns(where)), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def columns(where: Where) -> dict[str, str]:
    """Name -> pandas dtype of a cell's columns: the later ones only where they do not hold their usual value."""
    return PER_CLASS | {k: v for k, v in LATER.items() if getattr(where, k) != USUAL[k]}


def _rows(cell: CellRecord, bits: Mapping[str, np.ndarray], bare: bool = False) -> tuple[Where, list[dict[str, Any]]]:
    where, data, eps = cell.place, cell.data, cell.made.threat.eps
    same = where.row() | {"cell": cell.id}
    rows: list[dict[str, Any]] = []
    for split in TEST_SPLITS:
        facts = cell.counted(split)
        if not facts or data is None:
            continue
        train, names = data.train_counts, data.class_names
        labels = bits[f"{split}/label"].astype(np.int64)
        correct = {label: bits[f"{split}/{label}"].astype(bool) for label in facts}
        worst = worst_case(facts, correct, eps)
        if worst is not None:
            flags = [] if bare else shared_flags(facts[k].flags for k in taken_over(facts, eps))
            correct[WORST], facts = worst, facts | {WORST: EvaluationFacts("bench", flags=flags)}
        n = np.bincount(labels, minlength=len(names)).tolist()
        for label in sorted(facts, key=lambda name: _place(facts[name], name)):
            right = np.bincount(labels[correct[label]], minlength=len(names)).tolist()
            this = same | {
                "test_split": split,
                "attack": label,
                "engine": facts[label].engine,
                "flags": " ".join(sorted(facts[label].flags)),
            }
            rows += [
                this | {"class_index": i, "class_name": name, "train_count": train[i], "n": n[i], "correct": right[i]}
                for i, name in enumerate(names)
            ]
    return where, rows


def taken_over(facts: Mapping[str, EvaluationFacts], eps: float) -> list[str]:
    """Labels of the attacks over which the worst case is taken, sorted: every l_inf attack of radius `eps`.

    Two worst cases are of one kind only where these are equal.
    """
    return sorted(label for label, f in facts.items() if f.within(eps))


def shared_flags(flags: Iterable[Iterable[str]]) -> list[str]:
    """What the worst case inherits: an attack without a flag is evidence that the flagged ones lack."""
    all_ = [set(names) for names in flags]
    return sorted(set.intersection(*all_)) if all_ else []


def attacks_of_worst(
    rows: pd.DataFrame, cells: Mapping[str, CellRecord] | None = None
) -> dict[tuple[str, str], tuple[str, ...]]:
    """(cell, test split) -> the attacks over which its worst case is taken, sorted.

    Of rows without their cell.json nobody knows which attacks share the radius: then it is all that there are.
    """
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    places: Any = rows.groupby(["cell", "test_split"], sort=False)["attack"]
    for (name, split), attacks in places:
        cell = (cells or {}).get(name)
        labels = taken_over(cell.counted(split), cell.made.threat.eps) if cell else []
        found[name, split] = tuple(sorted({*(labels or attacks.unique())} - {WORST}))
    return found


def with_inherited(rows: pd.DataFrame, cells: Iterable[CellRecord]) -> pd.DataFrame:
    """The rows of a store; worst cases that were written before they inherited flags have them now."""
    bare = ((rows["attack"] == WORST) & (rows["flags"] == "")).to_numpy(bool)
    if not bare.any():
        return rows
    worst: dict[tuple[str, str], str] = {}
    for cell in cells:
        for split in TEST_SPLITS:
            facts = cell.counted(split)
            over = taken_over(facts, cell.made.threat.eps)
            worst[cell.id, split] = " ".join(shared_flags(facts[label].flags for label in over))
    flags = rows["flags"].to_numpy(object, copy=True)
    old = rows.loc[bare, ["cell", "test_split"]].itertuples(index=False, name=None)
    flags[bare] = [worst.get(place, "") for place in old]
    return rows.assign(flags=pd.array(flags, dtype="string"))


def worst_case(
    facts: Mapping[str, EvaluationFacts], correct: Mapping[str, np.ndarray], eps: float
) -> np.ndarray | None:
    """Bool N: correct without attack and under every l_inf attack of radius `eps`; None when there is none."""
    attacks = taken_over(facts, eps)
    if not attacks:
        return None
    clean = [label for label, f in facts.items() if f.norm == "none"]
    worst: np.ndarray = np.logical_and.reduce([correct[label] for label in (*clean, *attacks)])
    return worst


def _place(facts: EvaluationFacts, label: str) -> tuple[float, str]:
    return (100.0 if label == WORST else 50.0 if facts.strength is None else facts.strength), label
