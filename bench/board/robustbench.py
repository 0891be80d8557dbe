"""An entry under the field names of RobustBench's `model_info` files, with what those have no field for beside them.

Their accuracies are over all test images, ours are balanced: `clean_acc` and `autoattack_acc` are the standard ones,
the rest stands under names of our own. Percentages are text, as theirs are.
"""

from __future__ import annotations

import json
from typing import Any

from bench.board.derive import numbers, unreliable
from bench.board.entry import CLEAN, FIRST, Entry
from bench.board.page import radius
from bench.judge.metrics import WORST_CLASS


def model_info(entry: Entry) -> bytes:
    """The JSON file of an entry. Every number follows from its counts."""
    place, found, doubts = entry.place, numbers(entry), unreliable(entry)
    first, clean = found[FIRST], found[CLEAN]
    told = [f"Long-tailed training set, ratio {place.ir:g}; {place.test_split} test split.", *doubts]
    told += [f"Claimed, not measured: {entry.claimed}."] if entry.claimed else []
    theirs: dict[str, Any] = {
        "link": entry.url or (entry.code if entry.code.startswith("http") else ""),
        "name": place.label,
        "authors": entry.paper,
        "venue": "",
        "additional_data": bool(entry.extra_data),
        "number_forward_passes": 1,
        "dataset": place.dataset,
        "architecture": place.model,
        "eps": radius(place.eps),
        "clean_acc": _text(clean["standard"]),
        "reported": _text(first["standard"]),
        "autoattack_acc": _text(first["standard"]),
        "footnote": " ".join(told),
        "unreliable": bool(doubts),
    }
    ours = {
        "code": entry.code,
        "imbalance_ratio": place.ir,
        "test_split": place.test_split,
        "seeds": len(entry.runs),
        "balanced_clean_acc": _text(clean["balanced"]),
        "balanced_autoattack_acc": _text(first["balanced"]),
        "balanced_autoattack_interval_95": [_text(first["low"]), _text(first["high"])],
        "tail_autoattack_acc": _text(first["tail"]),
        "worst_class_autoattack_acc": _text(first[WORST_CLASS]),
        "flags": sorted({name for run in entry.runs for name in run.flags[FIRST]}),
        "weights": [run.weights for run in entry.runs],
    }
    return json.dumps(theirs | ours, indent=2, ensure_ascii=False).encode() + b"\n"


def _text(percent: float) -> str:
    return f"{percent:.2f}"
