"""Stored numbers against a reference, one verdict a number.

    same           the same value
    match          no further apart than the absolute tolerance
    within noise   further apart, but within the statistical margin
    off            beyond both; the check fails
    missing        the reference has it, the store does not; fails unless allowed
    refused        not comparable, the reason names the field; fails

Numbers are compared only when every field of `schema.COMPARABLE` (benchmark version, source, recipe, ...) and the
images themselves (data hash) are equal. The margin against a stored number is that of two independent test samples:
z * sqrt(error_reference^2 + error_measured^2).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import StoreError, UsageError
from bench.judge.metrics import AMOUNTS, Floats, blocks, metric, recalls
from bench.judge.stats import LEVEL, standard_error, two_sided_z, variance
from bench.store.schema import COMPARABLE

#: Verdicts that fail a check (`missing` can be allowed)
FAILING = ("off", "missing", "refused")
#: What a number is about; a reference and a measured number with equal values here belong together
IDENTITY = ("method", "variant", "dataset", "ir", "selection", "class_order", "model", "seed", "attack")
#: What most cells are, so that it is only said of those that are not
USUAL = {"recipe": "paper", "reduced": "", "selection": "seeded", "class_order": "natural", "precision": "fp32"}
#: What must then be equal for a comparison to mean anything
CONDITIONS = (*COMPARABLE, "data_hash")


@dataclass(frozen=True)
class Number:
    """One verdict. Values are fractions; `margin` is the statistical tolerance, None where nothing was compared."""

    where: dict[str, Any]
    name: str
    reference: float | None
    measured: float | None
    margin: float | None
    verdict: str
    reason: str = ""

    @property
    def difference(self) -> float | None:
        """Measured minus reference."""
        return None if self.reference is None or self.measured is None else self.measured - self.reference


@dataclass(frozen=True)
class Outcome:
    """All verdicts of a check, and how many measured evaluations the reference does not have."""

    reference: str
    tolerance: float
    numbers: list[Number] = field(default_factory=list)
    extra: int = 0
    allow_missing: bool = False

    @property
    def counts(self) -> Counter[str]:
        """How many numbers got each verdict."""
        return Counter(number.verdict for number in self.numbers)

    def failing(self) -> list[Number]:
        """The numbers for which the check fails."""
        return [n for n in self.numbers if n.verdict in FAILING and not (self.allow_missing and n.verdict == "missing")]

    @property
    def passed(self) -> bool:
        """Whether nothing failed and something was compared: a check of nothing does not pass."""
        return not self.failing() and any(n.measured is not None for n in self.numbers)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: its columns and its counts, classes from the most to the least frequent."""

    line: Mapping[str, Any]
    n: Floats
    correct: Floats
    names: Sequence[str]

    def numbers(self) -> Iterator[tuple[str, float, float]]:
        """(name, value, standard error) of everything that is compared."""
        for name in AMOUNTS:
            value = float(metric(name, self.n, self.correct))
            if not math.isnan(value):
                yield name, value, float(standard_error(name, self.n, self.correct))
        recall, errors = recalls(self.n, self.correct), np.sqrt(variance(self.n, self.correct))
        for name, value, error, n in zip(self.names, recall, errors, self.n, strict=True):
            if n > 0:
                yield f"class {name}", float(value), float(error)


def verdict(difference: float, tolerance: float, margin: float) -> str:
    """`match`, `within noise` or `off` for a difference, an absolute and a statistical tolerance (all fractions)."""
    if abs(difference) <= tolerance + 1e-12:
        return "match"
    return "within noise" if abs(difference) <= margin else "off"


def check_rows(
    measured: pd.DataFrame, reference: pd.DataFrame, *, name: str, tolerance: float = 0.01, level: float = LEVEL,
    exact: bool = False, allow_missing: bool = False,
) -> Outcome:  # fmt: skip
    """Measured rows against stored rows (both `schema.PER_CLASS`); `tolerance` is a fraction.

    `exact` asks for equal counts instead. Raises StoreError for an empty reference, UsageError for a bad tolerance.
    """
    check_tolerance(tolerance)
    if reference.empty:
        raise StoreError(f"the reference {name} holds no finished evaluation; give another with --against.")
    z = two_sided_z(level)
    ours: dict[tuple[Any, ...], list[Evaluation]] = {}
    for evaluation in evaluations(measured):
        ours.setdefault(_identity(evaluation.line), []).append(evaluation)
    numbers: list[Number] = []
    used: set[int] = set()
    for theirs in evaluations(reference):
        candidates = ours.get(_identity(theirs.line), [])
        chosen, verdict_, reason = _choose(theirs, candidates)
        if chosen is None:
            numbers.append(Number(_where(theirs.line), "all", None, None, None, verdict_, reason))
            continue
        used.add(id(chosen))
        numbers += _exactly(theirs, chosen) if exact else _closely(theirs, chosen, tolerance, z)
    extra = sum(id(evaluation) not in used for group in ours.values() for evaluation in group)
    return Outcome(name, tolerance, numbers, extra, allow_missing)


def check_tolerance(tolerance: float) -> None:
    """Raises UsageError for a negative or infinite tolerance (a fraction)."""
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"a tolerance of {100 * tolerance:g} points is not possible; give 0 or more.")


def evaluations(rows: pd.DataFrame) -> Iterator[Evaluation]:
    """Every evaluation of the rows with its counts."""
    for block in blocks(rows):
        for i, line in enumerate(block.lines.to_dict("records")):
            known = {str(k): None if pd.isna(v) else v for k, v in line.items()}
            yield Evaluation(known, block.n[i], block.correct[i], list(map(str, block.names[i])))


def _identity(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(rounded(line[column]) for column in IDENTITY)


def rounded(value: Any) -> Any:
    """Numbers to two decimals, as ratios are printed (58.66 for 58.6625)."""
    return round(value, 2) if isinstance(value, float) else value


def _where(line: Mapping[str, Any]) -> dict[str, Any]:
    names = ("method", "variant", "dataset", "ir", "model", "seed", "test_split", "attack")
    return {name: line[name] for name in names if line.get(name) not in (None, "")} | unusual(line)


def unusual(line: Mapping[str, Any]) -> dict[str, Any]:
    """What of `USUAL` is otherwise in this line."""
    return {name: line[name] for name, usual in USUAL.items() if line[name] != usual}


def differing(wanted: Mapping[str, Any], line: Mapping[str, Any]) -> list[str]:
    """Names of the conditions that differ."""
    return [k for k, v in wanted.items() if (not math.isclose(v, line[k], rel_tol=1e-6)
            if isinstance(v, float) and isinstance(line[k], float) else v != line[k])]  # fmt: skip


def _choose(theirs: Evaluation, candidates: Iterable[Evaluation]) -> tuple[Evaluation | None, str, str]:
    """The measured evaluation that is the same thing, or (None, verdict, reason)."""
    wanted = {column: theirs.line[column] for column in CONDITIONS}
    ranked = [(differing(wanted, c.line), c.line["cell"] != theirs.line["cell"], c) for c in candidates]
    if not ranked:
        return None, "missing", "not in the results"
    fields, other_cell, best = min(ranked, key=lambda entry: (len(entry[0]), entry[1]))
    if fields:
        return None, "refused", explain(fields, wanted, best.line)
    fitting = [str(c.line["cell"]) for f, other, c in ranked if not f and other == other_cell]
    if len(fitting) > 1:
        return None, "refused", f"{len(fitting)} cells fit: {', '.join(fitting[:3])}"
    if sorted(best.names) != sorted(theirs.names):
        return None, "refused", f"classes differ: reference {len(theirs.names)}, measured {len(best.names)}"
    return best, "", ""


def explain(fields: Iterable[str], wanted: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    """`source differs: reference cifar10, measured cifar10-jpeg75`, one clause a field."""
    return "; ".join(f"{f} differs: reference {_shown(wanted[f])}, measured {_shown(line[f])}" for f in fields)


def _shown(value: Any) -> str:
    return "none" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)


def _closely(theirs: Evaluation, ours: Evaluation, tolerance: float, z: float) -> Iterator[Number]:
    measured = {name: (value, error) for name, value, error in ours.numbers()}
    for name, value, error in theirs.numbers():
        if name not in measured:
            yield Number(_where(theirs.line), name, value, None, None, "missing", "the class has no test images")
            continue
        own, own_error = measured[name]
        margin = z * math.hypot(error, own_error)
        result = "same" if own == value else verdict(own - value, tolerance, margin)
        yield Number(_where(theirs.line), name, value, own, margin, result)


def _exactly(theirs: Evaluation, ours: Evaluation) -> Iterator[Number]:
    counted = {name: (k, n) for name, k, n in zip(ours.names, ours.correct, ours.n, strict=True)}
    for name, k, n in zip(theirs.names, theirs.correct, theirs.n, strict=True):
        own_k, own_n = counted[name]
        equal = (k, n) == (own_k, own_n)
        reason = "" if equal else f"reference {k:.0f} of {n:.0f}, measured {own_k:.0f} of {own_n:.0f}"
        yield Number(_where(theirs.line), f"class {name}", float(recalls(n, k)), float(recalls(own_n, own_k)), 0.0,
                     "same" if equal else "off", reason)  # fmt: skip
