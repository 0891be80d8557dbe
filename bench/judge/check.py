"""Stored numbers against a reference, one verdict a number.

    same           the same value
    match          no further apart than the absolute tolerance
    within noise   further apart, but within the statistical margin
    off            beyond both; the check fails
    missing        the reference has it, the store does not; fails unless allowed
    refused        not comparable, the reason names the field; fails

Numbers belong together when their method, data set, ratio, network, seed and attack are equal (`where.BELONG`); they
are compared only when every condition is too (`where.CONDITIONS`: benchmark version, source, recipe, ..., and the
images themselves). The rule is that of `bench.judge.verdict`, the margin that of two independent test samples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from bench.errors import StoreError, UsageError
from bench.judge.evaluations import Evaluation, class_names, evaluations
from bench.judge.metrics import recalls
from bench.judge.stats import LEVEL, two_sided_z
from bench.judge.verdict import OFF, REFUSED, judge, margin
from bench.store.where import BELONG, IDENTITIES, Where, explain

#: Verdicts that fail a check (`missing` can be allowed)
FAILING = (OFF, "missing", REFUSED)


@dataclass(frozen=True)
class Number:
    """One verdict. Values are fractions; `margin` is the statistical tolerance, None where nothing was compared."""

    where: Mapping[str, Any]
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


def check_rows(
    measured: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    name: str,
    tolerance: float = 0.01,
    level: float = LEVEL,
    exact: bool = False,
    allow_missing: bool = False,
    audits: tuple[Sequence[Evaluation], Sequence[Evaluation]] = ((), ()),
) -> Outcome:
    """Measured rows against stored rows (both `schema.PER_CLASS`); `tolerance` is a fraction.

    `audits`: those measured and those of the reference. An audit is judged by an audit of the same settings, else by
    the full attack that it is a part of, or such by it, under a name that says so. `exact` asks for equal counts
    instead. Raises StoreError for an empty reference, UsageError for a bad tolerance.
    """
    check_tolerance(tolerance)
    if reference.empty and not audits[1]:
        raise StoreError(f"the reference {name} holds no finished evaluation; give another with --against.")
    two_sided_z(level)  # refuses an impossible level
    ours: dict[tuple[Any, ...], list[Evaluation]] = {}
    parts: dict[tuple[Any, ...], list[Evaluation]] = {}  # by the full attack that they are a part of
    for evaluation in (*evaluations(measured), *audits[0]):
        ours.setdefault(evaluation.where.key(BELONG), []).append(evaluation)
        if evaluation.chain:
            parts.setdefault(_whole(evaluation), []).append(evaluation)
    numbers: list[Number] = []
    used: set[int] = set()
    for theirs in (*evaluations(reference), *audits[1]):
        chosen, verdict, reason = _choose(theirs, ours.get(theirs.where.key(BELONG), []))
        if chosen is None:
            full = ours.get(_whole(theirs), []) if theirs.chain else []
            chosen = _choose(theirs, full)[0] or _choose(theirs, parts.get(_whole(theirs), []))[0]
        if chosen is None:
            numbers.append(Number(_told(theirs.where), "all", None, None, None, verdict, reason))
            continue
        used.add(id(chosen))
        if exact and (theirs.chain or chosen.chain):
            reason = "an audit has no counts that could be equal"
            numbers.append(Number(_told(theirs.where), "all", None, None, None, REFUSED, reason))
            continue
        numbers += _exactly(theirs, chosen) if exact else _closely(theirs, chosen, tolerance, level)
    extra = sum(id(evaluation) not in used for group in ours.values() for evaluation in group)
    return Outcome(name, tolerance, numbers, extra, allow_missing)


def check_tolerance(tolerance: float) -> None:
    """Raises UsageError for a negative or infinite tolerance (a fraction)."""
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"a tolerance of {100 * tolerance:g} points is not possible; give 0 or more.")


def _told(where: Where) -> dict[str, Any]:
    """What names a number: its axes, its test split, and what is unusual about it."""
    names = (*IDENTITIES, "dataset", "ir", "model", "seed", "test_split", "attack")
    return {n: v for n in names if (v := getattr(where, n)) not in (None, "")} | where.said()


def _whole(evaluation: Evaluation) -> tuple[Any, ...]:
    """Where the full attack stands of which this is a part, or which it is."""
    return replace(evaluation.where, attack=evaluation.chain or evaluation.where.attack).key(BELONG)


def _choose(theirs: Evaluation, candidates: Iterable[Evaluation]) -> tuple[Evaluation | None, str, str]:
    """The measured evaluation that is the same thing, or (None, verdict, reason)."""
    ranked = [(theirs.where.differing(c.where), c.cell != theirs.cell, c) for c in candidates]
    if not ranked:
        return None, "missing", "not in the results"
    fields, other_cell, best = min(ranked, key=lambda entry: (len(entry[0]), entry[1]))
    if fields:
        return None, REFUSED, explain(fields, theirs.where, best.where)
    fitting = [c.cell for f, other, c in ranked if not f and other == other_cell]
    if len(fitting) > 1:
        return None, REFUSED, f"{len(fitting)} cells fit: {', '.join(fitting[:3])}"
    if theirs.over != best.over:
        return None, REFUSED, f"attacks differ: reference {', '.join(theirs.over)}, measured {', '.join(best.over)}"
    mine, its = ({i: name for i, (name, _, _) in e.counts.by_class().items()} for e in (theirs, best))
    if mine != its:
        return None, REFUSED, f"classes differ: {_classes(mine, its)}"
    if theirs.where.data_hash and not theirs.chain and not best.chain and (why := _images(theirs, best)):
        return None, REFUSED, why
    return best, "", ""


def _images(theirs: Evaluation, ours: Evaluation) -> str:
    """Where two evaluations of the same data count other numbers of test images, which one of them made up."""
    counted = ours.counts.by_class()
    for index, (_, n, _) in theirs.counts.by_class().items():
        if n != counted[index][1]:
            return f"class {index} has {n} test images in the reference, {counted[index][1]} in the results"
    return ""


def _classes(mine: Mapping[int, str], its: Mapping[int, str]) -> str:
    if len(mine) != len(its):
        return f"reference {len(mine)}, measured {len(its)}"
    index = min(i for i in {*mine, *its} if mine.get(i) != its.get(i))
    return f"class {index} is {mine.get(index)} in the reference, {its.get(index)} in the results"


def _closely(theirs: Evaluation, ours: Evaluation, tolerance: float, level: float) -> Iterator[Number]:
    measured = {name: (value, error) for name, value, error in ours.numbers()}
    told = _told(theirs.where)
    if ours.where.attack != theirs.where.attack:
        told["attack"] = f"{ours.where.attack} against {theirs.where.attack}"
    for name, value, error in theirs.numbers():
        if name not in measured:
            yield Number(told, name, value, None, None, "missing", "the class has no test images")
            continue
        own, own_error = measured[name]
        noise = margin((error, own_error), level)
        result = "same" if own == value else judge(own - value, tolerance, noise)
        yield Number(told, name, value, own, noise, result)


def _exactly(theirs: Evaluation, ours: Evaluation) -> Iterator[Number]:
    counted = ours.counts.by_class()
    for name, (index, (_, n, k)) in zip(class_names(theirs.counts), theirs.counts.by_class().items(), strict=True):
        _, own_n, own_k = counted[index]
        equal = (k, n) == (own_k, own_n)
        reason = "" if equal else f"reference {k} of {n}, measured {own_k} of {own_n}"
        yield Number(
            _told(theirs.where),
            name,
            float(recalls(n, k)) if n else None,
            float(recalls(own_n, own_k)) if own_n else None,
            0.0,
            "same" if equal else OFF,
            reason,
        )
