"""From a cell's facts and its per-image bits to `per_class.csv`: a pure function, so anybody can derive it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.config import TEST_SPLITS, cell_from_plain
from bench.store.schema import LATER, PER_CLASS
from bench.store.where import USUAL, Where

#: label of the image-wise worst case over clean and every l_inf attack of the threat model's radius
WORST = "worst"


def counted(facts: Mapping[str, Any]) -> bool:
    """Whether an evaluation has counts: an audit that left images out has an estimate, and no count of anything."""
    return "audit" not in facts or bool(facts["audit"]["whole"])


def build_rows(cell: Mapping[str, Any], bits: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The table of a cell: one row an evaluated attack, test split and class, ordered by split, attack and class.

    `cell`: cell.json. `bits`: per_sample.npz. Attacks stand in the order of their strength, then by name.
    """
    spec, data = cell_from_plain(cell["spec"]), cell["data"]
    counts = data["train_counts"]
    where = Where.of(spec, source=data["source"], data_hash=data["data_hash"], train_counts=counts,
                     benchmark=cell["benchmark"])  # fmt: skip
    same = where.row() | {"cell": cell["id"]}
    rows = []
    for split in TEST_SPLITS:
        facts = {key.partition("/")[2]: f for key, f in cell["evaluations"].items()
                 if key.startswith(f"{split}/") and counted(f)}  # fmt: skip
        if not facts:
            continue
        labels = bits[f"{split}/label"]
        correct = {label: bits[f"{split}/{label}"].astype(bool) for label in facts}
        worst = worst_case(facts, correct, spec.threat.eps)
        if worst is not None:
            correct[WORST], facts = worst, facts | {WORST: {"engine": "bench", "flags": []}}
        for label in sorted(facts, key=lambda name: _place(facts[name], name)):
            for index, name in enumerate(data["class_names"]):
                member = labels == index
                rows.append(same | {
                    "test_split": split, "attack": label, "engine": facts[label]["engine"],
                    "flags": " ".join(sorted(facts[label]["flags"])), "class_index": index, "class_name": name,
                    "train_count": counts[index], "n": int(member.sum()), "correct": int(correct[label][member].sum()),
                })  # fmt: skip
    columns = PER_CLASS | {k: v for k, v in LATER.items() if getattr(where, k) != USUAL[k]}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def bounded(facts: Mapping[str, Any], eps: float) -> bool:
    """Whether these are the facts of an l_inf attack of radius `eps`: the only ones that share a threat model."""
    return facts.get("norm") == "linf" and math.isclose(facts["eps"], eps)


def worst_case(
    facts: Mapping[str, Mapping[str, Any]], correct: Mapping[str, np.ndarray], eps: float
) -> np.ndarray | None:
    """Bool N: correct without attack and under every l_inf attack of radius `eps`; None when there is none."""
    counted = [label for label, f in facts.items() if bounded(f, eps)]
    if not counted:
        return None
    clean = [label for label, f in facts.items() if f.get("norm") == "none"]
    worst: np.ndarray = np.logical_and.reduce([correct[label] for label in (*clean, *counted)])
    return worst


def _place(facts: Mapping[str, Any], label: str) -> tuple[float, str]:
    strength = facts.get("strength")
    return (100.0 if label == WORST else 50.0 if strength is None else float(strength)), label
