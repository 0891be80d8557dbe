"""Measured numbers against the paper's, for those of its numbers that can bear it (`standing` is `target`).

A measured number is the mean over its seeds. Its margin is z * sqrt(binomial error of the printed value^2 + our
sampling error^2), or the Student t margin of our seeds where that is wider; the two are never added. The paper says
nothing of its own spread over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.judge.check import Number, Outcome, check_tolerance
from bench.judge.evaluations import Evaluation, evaluations
from bench.judge.stats import LEVEL, two_sided_z
from bench.judge.verdict import REFUSED, against_print
from bench.store.where import PAPER, explain, off_protocol

#: what a printed number and a measured one share that belong together
PLACE = ("method", "variant", "dataset", "ir", "model", "attack")


def check_paper(
    measured: pd.DataFrame,
    tables: pd.DataFrame,
    *,
    tolerance: float = 0.01,
    level: float = LEVEL,
    allow_missing: bool = False,
) -> Outcome:
    """Measured rows against the paper's numbers whose standing is `target` (`reference.paper_tables`).

    A measured number is the mean over its seeds. Raises UsageError for a bad tolerance.
    """
    check_tolerance(tolerance)
    two_sided_z(level)  # refuses an impossible level
    ours: dict[tuple[Any, ...], list[Evaluation]] = {}
    for evaluation in evaluations(measured):
        ours.setdefault(evaluation.where.key(PLACE), []).append(evaluation)
    numbers = []
    for record in tables[tables["standing"] == "target"].to_dict("records"):
        printed = {str(column): value for column, value in record.items()}
        at = printed | {"attack": printed["measured_attack"], "variant": printed["measured_variant"]}
        key = tuple(round(at[n], 2) if n == "ir" else at[n] for n in PLACE)
        numbers.append(_against_print(printed, ours.get(key, []), tolerance, level))
    return Outcome("paper", tolerance, numbers, 0, allow_missing)


def _against_print(
    printed: Mapping[str, Any], candidates: Sequence[Evaluation], tolerance: float, level: float
) -> Number:
    """One printed number against the mean over the seeds of what was measured."""
    shown = ("table", "method", "variable", "dataset", "ir", "model", "attack")
    where = {key: printed[key] for key in shown if printed[key] != ""}
    name = printed["metric_kind"] if not printed["class_name"] else f"class {printed['class_name']}"
    value = float(printed["number"])
    fields = {id(c): off_protocol(c.where, printed["measured_source"]) for c in candidates}
    fitting = [c for c in candidates if not fields[id(c)]]
    if not candidates:
        return Number(where, name, value, None, None, "missing", "not in the results")
    if not fitting:
        nearest = min(candidates, key=lambda c: len(fields[id(c)]))
        reason = explain(fields[id(nearest)], replace(PAPER, source=printed["measured_source"]), nearest.where)
        return Number(where, name, value, None, None, REFUSED, reason)
    kinds = [c.where.differing(fitting[0].where) for c in fitting]
    if several := sorted({name for names in kinds for name in names}):
        reason = f"cells of several settings fit, which differ in {', '.join(several)}; check a store of one"
        return Number(where, name, value, None, None, REFUSED, reason)
    taken = [_taken(c, printed["class_name"]) for c in fitting]
    if not all(len(n) for n, _ in taken):
        return Number(where, name, value, None, None, REFUSED, f"no class '{printed['class_name']}' with test images")
    kind = "balanced" if printed["class_name"] else name
    measured, noise, verdict = against_print(
        value, kind, *(np.array(some) for some in zip(*taken, strict=True)), tolerance=tolerance, level=level
    )
    reason = "; ".join(filter(None, (f"{len(taken)} seed{'s' * (len(taken) > 1)}", printed["reason"])))
    return Number(where, name, value, measured, noise, verdict, reason)


def _taken(evaluation: Evaluation, class_name: str) -> tuple[Any, Any]:
    """(n, correct) of the classes that the number is about: all, or the one of this name that has test images."""
    counts = evaluation.counts
    if not class_name:
        return counts.n, counts.correct
    at = [i for i, name in enumerate(counts.names) if name == class_name and counts.n[i] > 0][:1]
    return counts.n[at], counts.correct[at]
