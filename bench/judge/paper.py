"""Measured numbers against the paper's, for those of its numbers that can bear it (`standing` is `target`).

A measured number is the mean over its seeds. Its margin is z * sqrt(binomial error of the printed value^2 + our
sampling error^2), or the Student t margin of our seeds where that is wider; the two are never added. The paper says
nothing of its own spread over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.judge.check import (
    Evaluation,
    Number,
    Outcome,
    check_tolerance,
    differing,
    evaluations,
    explain,
    rounded,
    verdict,
)
from bench.judge.metrics import metric, weights
from bench.judge.stats import LEVEL, over_seeds, standard_error, two_sided_z, variance
from bench.store.rows import DETERMINISTIC

#: What the paper's protocol says of the fields that must be equal; its pixels stand with each number
PROTOCOL = {"recipe": "paper", "test_split": "long-tailed", "reduced": "", "precision": "fp32", "eps": 8 / 255}


def check_paper(
    measured: pd.DataFrame, tables: pd.DataFrame, *, tolerance: float = 0.01, level: float = LEVEL,
    allow_missing: bool = False,
) -> Outcome:  # fmt: skip
    """Measured rows against the paper's numbers whose standing is `target` (`reference.paper_tables`).

    A measured number is the mean over its seeds. Raises UsageError for a bad tolerance.
    """
    check_tolerance(tolerance)
    # deterministic kernels add in another order; that is no other protocol
    measured = measured.assign(precision=measured["precision"].str.removesuffix(f", {DETERMINISTIC}"))
    z = two_sided_z(level)
    ours: dict[tuple[Any, ...], list[Evaluation]] = {}
    for evaluation in evaluations(measured):
        line = evaluation.line
        if line["class_order"] == "natural":
            ours.setdefault(_paper_key(line, line["attack"], line["variant"]), []).append(evaluation)
    numbers = []
    for record in tables[tables["standing"] == "target"].to_dict("records"):
        printed = {str(column): value for column, value in record.items()}
        key = _paper_key(printed, printed["measured_attack"], printed["measured_variant"])
        numbers.append(_against_print(printed, ours.get(key, []), tolerance, level, z))
    return Outcome("paper", tolerance, numbers, 0, allow_missing)


def _paper_key(line: Mapping[str, Any], attack: str, variant: str) -> tuple[Any, ...]:
    return line["method"], line["dataset"], rounded(line["ir"]), line["model"], attack, variant


def _against_print(
    printed: Mapping[str, Any], candidates: Sequence[Evaluation], tolerance: float, level: float, z: float
) -> Number:
    """One printed number against the mean over the seeds of what was measured."""
    shown = ("table", "method", "variable", "dataset", "ir", "model", "attack")
    where = {key: printed[key] for key in shown if printed[key] != ""}
    name = printed["metric_kind"] if not printed["class_name"] else f"class {printed['class_name']}"
    value = float(printed["number"])
    wanted = PROTOCOL | {"source": printed["measured_source"]}
    fields = {id(c): differing(wanted, c.line) for c in candidates}
    fitting = [c for c in candidates if not fields[id(c)]]
    if not candidates:
        return Number(where, name, value, None, None, "missing", "not in the results")
    if not fitting:
        nearest = min(candidates, key=lambda c: len(fields[id(c)]))
        return Number(where, name, value, None, None, "refused", explain(fields[id(nearest)], wanted, nearest.line))
    read = [_one_class(c, printed["class_name"]) if printed["class_name"] else _mean(c, name) for c in fitting]
    if any(r is None for r in read):
        return Number(where, name, value, None, None, "refused",
                      f"no class '{printed['class_name']}' with test images")  # fmt: skip
    values, errors, scales = zip(*(r for r in read if r), strict=True)
    measured = float(np.mean(values))
    # Seeds see the same test images, so their mean is no better known than one of them.
    margin = z * math.hypot(math.sqrt(value * (1 - value)) * max(scales), max(errors))
    seeds = over_seeds(values, level)
    margin = max(margin, seeds.margin if seeds else 0.0)
    reason = "; ".join(filter(None, (f"{len(values)} seed{'s' * (len(values) > 1)}", printed["reason"])))
    return Number(where, name, value, measured, margin, verdict(measured - value, tolerance, margin), reason)


def _mean(evaluation: Evaluation, name: str) -> tuple[float, float, float]:
    """(value, standard error, error of a rate of unit variance) of a mean over classes."""
    w = weights(name, evaluation.n)
    scale = math.sqrt(float(np.sum(w**2 / np.where(evaluation.n > 0, evaluation.n, np.inf))))
    value = float(metric(name, evaluation.n, evaluation.correct))
    return value, float(standard_error(name, evaluation.n, evaluation.correct)), scale


def _one_class(evaluation: Evaluation, class_name: str) -> tuple[float, float, float] | None:
    at = [i for i, name in enumerate(evaluation.names) if name == class_name and evaluation.n[i] > 0]
    if not at:
        return None
    n, k = evaluation.n[at[0]], evaluation.correct[at[0]]
    return float(k / n), math.sqrt(float(variance(n, k))), 1 / math.sqrt(float(n))
