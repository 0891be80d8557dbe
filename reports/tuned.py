"""How often each row was tuned, where a store has tunings: unequal tuning is an unfairness that no number shows."""

from __future__ import annotations

from collections.abc import Iterable

from bench.reports.source import Source
from bench.store.parts.tunings import Tuning, of_cell
from bench.store.where import Where

NOT = "not tuned"


def tuned(source: Source, cells: Iterable[str]) -> str:
    """`trades[beta=4]: best of 20 trials (...); at: not tuned`, for these cells; empty where nothing was tuned."""
    if not source.tunings:
        return ""
    rows: dict[str, list[str]] = {}
    for name in sorted(set(cells) & source.cells.keys()):
        spec = source.cells[name].made
        told = rows.setdefault(Where.of(spec).label, [])
        told += [words for found in of_cell(source.tunings, spec) if (words := said(*found)) not in told]
    return "; ".join(f"{label}: {', '.join(told) or NOT}" for label, told in sorted(rows.items()))


def said(tuning: Tuning, number: int) -> str:
    """`best of 20 trials (6 given up) on validation 0.1 of seed 0, pgd-20`, or which trial of how many it was."""
    study, best = tuning.study, tuning.best
    count = len(tuning.trials)
    trials = "1 trial" if count == 1 else f"{count} trials"
    is_best = best is not None and tuning.trials.index(best) == number
    rank = f"best of {trials}" if is_best else f"trial {number + 1} of {count}, not the best"
    gone = f" ({tuning.count('pruned')} given up)" if tuning.count("pruned") else ""
    short = f", {study.place['reduced']}" if study.place.get("reduced") else ""
    return f"{rank}{gone} on validation {study.validation:g} of seed {study.seed}, {study.objective}{short}"
