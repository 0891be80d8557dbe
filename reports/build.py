"""From a store to `Table`s: measured numbers beside the paper's, ranked among comparable rows only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.judge import stats
from bench.reports import commands, paper
from bench.reports.marks import Ledger, doubtful
from bench.reports.model import Cell, Column, Footnote, Row, Table, Verdict
from bench.reports.settings import settings_lines
from bench.reports.source import Config, Evaluation, Setting, Source

#: what stands for a number that cannot be: the mean of nothing
NO_IMAGES = "no test images"


@dataclass(frozen=True)
class Query:
    """What one cell of a table shows: `metric` of a configuration under an attack.

    `metric`: a name of `bench.judge.metrics.METRICS`, or `class` with `position` (0: most frequent class).
    `paper`: the key of the printed number (see `paper.number`), None where the paper has no such cell.
    """

    config: Config
    attack: str
    metric: str = "balanced"
    position: int = 0
    paper: dict[str, Any] | None = None


@dataclass(frozen=True)
class Line:
    """A row to fill. Rows with the same `group` compete for best and second best."""

    labels: tuple[str, ...]
    queries: tuple[Query, ...]
    group: str = ""


@dataclass(frozen=True)
class Draft:
    """A table to fill: its words, its columns, its queries. `number` is the paper's, 0 for a table of our own."""

    key: str
    title: str
    caption: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    number: int = 0
    comparable: Verdict | None = None
    across: bool = False
    words: tuple[str, ...] = ()
    data: str = ""
    notes: tuple[str, ...] = ()
    preset: str = ""


@dataclass(frozen=True)
class Measured:
    """A metric over seeds, in per cent, with the test counts it rests on (mean over seeds)."""

    value: float
    sampling: tuple[float, float]
    seeds: tuple[float, float] | None
    n: np.ndarray
    correct: np.ndarray


def measure(source: Source, found: Sequence[Evaluation], metric: str, position: int = 0) -> Measured:
    """The metric of evaluations that differ only in their seed. Cached in the source."""
    key = (*(id(e) for e in found), metric, position)
    if key not in source.measured:
        n, correct = np.array([e.n for e in found], float), np.array([e.correct for e in found], float)
        if metric == "class":
            n, correct = n[:, position : position + 1], correct[:, position : position + 1]
        result = stats.estimate("balanced" if metric == "class" else metric, list(n), list(correct))
        between = None if result.seeds is None else (100 * result.seeds.low, 100 * result.seeds.high)
        source.measured[key] = Measured(
            100 * result.value, (100 * result.sampling.low, 100 * result.sampling.high), between,
            n.mean(axis=0), correct.mean(axis=0),
        )  # fmt: skip
    made: Measured = source.measured[key]
    return made


def build(draft: Draft, source: Source, setting: Setting) -> Table:
    """The table of a draft under one setting."""
    ledger, missing, used = Ledger(), [], []
    most = max((len(source.evaluations(setting, q.config, q.attack)) for li in draft.lines for q in li.queries),
               default=0)  # fmt: skip
    rows = []
    for line in draft.lines:
        cells = []
        for query in line.queries:
            found = source.evaluations(setting, query.config, query.attack)
            used += found
            cell = _cell(draft, source, setting, query, found, ledger)
            if found and len(found) < most:
                cell = replace(cell, marks=(*cell.marks, ledger.few(len(found))))
            if not found:
                missing.append((query.config, query.attack))
            cells.append(cell)
        rows.append(Row(line.labels, tuple(cells)))
    groups = [(line.group, _reduced(source, setting, line)) for line in draft.lines]
    attacks = tuple(dict.fromkeys(q.attack for line in draft.lines for q in line.queries))
    notes = [
        Footnote("", text)
        for text in (*draft.notes, *(paper.ATTACK_NOTE[a] for a in attacks if a in paper.ATTACK_NOTE))
    ]
    filled = commands.fill(source, setting, missing)
    if draft.preset and not used:
        filled = [commands.preset(source, draft.preset)]
    return Table(
        key=draft.key, title=draft.title, caption=draft.caption, heads=draft.heads, columns=draft.columns,
        rows=tuple(_ranked(rows, groups, draft)), words=draft.words, data=draft.data,
        settings=settings_lines(source, setting, used, attacks),
        footnotes=(*ledger.footnotes(), *notes), commands=tuple(filled),
    )  # fmt: skip


def _cell(
    draft: Draft, source: Source, setting: Setting, query: Query, found: Sequence[Evaluation], ledger: Ledger,
) -> Cell:  # fmt: skip
    shown = query.paper is not None and (found or draft.comparable is None)  # no context beside an empty cell
    printed = paper.number(draft.number, **(query.paper or {})) if shown else None
    if found:
        command = commands.again(source, setting, query.config, query.attack)
    else:
        command = " && ".join(commands.fill(source, setting, [(query.config, query.attack)]))
    base = Cell(paper=printed, paper_mark=ledger.paper(printed), selector=(setting.test_split, query.attack),
                command=command, verdict=Verdict.MISSING)  # fmt: skip
    broken = source.failed(setting, query.config) if source.failures else []
    if not found:
        note = f"failed: {broken[0]['failure']['message']}" if broken and broken[0].get("failure") else ""
        return replace(base, provenance=tuple(c["id"] for c in broken), note=note)
    got = measure(source, found, query.metric, query.position)
    if math.isnan(got.value):
        return replace(base, verdict=Verdict.NO_PAPER, provenance=tuple(e.cell for e in found), note=NO_IMAGES)
    gap, verdict = paper.verdict(got.value, printed, draft.comparable, query.metric, got.n, got.correct,
                                 _margin(got))  # fmt: skip
    flags = tuple(dict.fromkeys(f for e in found for f in e.flags))
    return replace(
        base, value=got.value, sampling=got.sampling, seeds=got.seeds, difference=gap, verdict=verdict,
        marks=ledger.flags(flags), doubtful=doubtful(flags),
        provenance=tuple(e.cell for e in found),
        note=f"{len(broken)} seed(s) failed" if broken else "",
    )  # fmt: skip


def _margin(got: Measured) -> float:
    """The larger distance from the value to an end of its interval over seeds, 0 without one."""
    return 0.0 if got.seeds is None else max(got.value - got.seeds[0], got.seeds[1] - got.value)


def _reduced(source: Source, setting: Setting, line: Line) -> str:
    """The exact text of how a line's runs are reduced; only lines with the same text are ranked together."""
    return next((e.reduced for q in line.queries for e in source.evaluations(setting, q.config, q.attack)), "")


def _ranked(rows: list[Row], groups: list[tuple[str, str]], draft: Draft) -> list[Row]:
    """Best (1) and second best (2) among comparable numbers: each column for itself, or across the whole table.

    Equal printed numbers share a rank. A lone number is not a best, and a second best needs three. A doubtful number
    takes no part.
    """
    ranks: dict[tuple[int, int], int] = {}
    pools: dict[Any, list[tuple[int, int]]] = {}
    for i, row in enumerate(rows):
        for j, cell in enumerate(row.cells):
            if cell.value is not None and not cell.doubtful and draft.columns[j].ranked:
                pools.setdefault((groups[i], None if draft.across else j), []).append((i, j))
    for places in pools.values():
        values = {place: round(rows[place[0]].cells[place[1]].value or 0.0, 2) for place in places}
        best = sorted(set(values.values()), reverse=True)
        for place, value in values.items():
            if len(places) > 1 and value == best[0] and len(best) > 1:
                ranks[place] = 1
            elif len(places) > 2 and len(best) > 2 and value == best[1]:
                ranks[place] = 2
    return [
        replace(row, cells=tuple(replace(c, rank=ranks.get((i, j), 0)) for j, c in enumerate(row.cells)))
        for i, row in enumerate(rows)
    ]


def flat(tables: Iterable[Iterable[Table]]) -> list[Table]:
    """One list of many."""
    return [table for group in tables for table in group]
