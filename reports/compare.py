"""Two stores side by side: what both measured, with the paired difference on the same images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bench.config import format_value
from bench.errors import StoreError
from bench.judge import compare as judge
from bench.judge.stats import Interval
from bench.reports import paper
from bench.reports.footnote import heading, settings_lines, words
from bench.reports.model import Cell, Column, Footnote, Row, Table
from bench.reports.source import Config, Evaluation, Setting, Source
from bench.reports.text import slug

NOTES = (
    "A − B is the paired difference on the same images: its first interval is the melded bounds over test "
    "images, the second Student t over seeds.",
    "▲ A better, ▼ A worse, both after Holm's correction over this comparison; no sign: not distinguishable.",
    "A difference without an interval is not paired: one of the stores lacks the bits of each image.",
)
SIGN = {"better": "▲", "worse": "▼"}


def tables(a: Source, b: Source, dataset: str | None = None, test_split: str | None = None) -> list[Table]:
    """One table for each setting that both stores have something of. Raises StoreError when there is none."""
    settings = [
        s for s in a.index if s in b.index and dataset in (None, s.dataset) and test_split in (None, s.test_split)
    ]
    lines = _paired(a, b)
    parts = [(s, some) for s in settings for some in _threes(a.attacks([s]))]
    drafts = [t for s, some in parts if (t := _table(a, b, s, some, lines)) is not None]
    made = [replace(t, title=f"Comparison {i}", key=f"{t.key}-{i}") for i, t in enumerate(drafts, 1)]
    if not made:
        raise StoreError(f"{a.root} and {b.root} share no evaluation; give two results folders of one grid.")
    return made


def _threes(attacks: Sequence[str]) -> list[Sequence[str]]:
    """Three attacks a table, so that nine columns fit a page."""
    return [attacks[i : i + 3] for i in range(0, len(attacks), 3)]


def _paired(a: Source, b: Source) -> dict[tuple[Any, ...], judge.Line]:
    """Pooled paired comparisons by what identifies them; empty when there are no bits to pair."""
    if not (a.is_folder and b.is_folder):
        return {}
    try:
        lines = judge.compare_stores(a.root, b.root)
    except StoreError:
        return {}
    return {_identity(line): line for line in lines if line.seed is None}


def _identity(line: judge.Line) -> tuple[Any, ...]:
    w = line.where
    ratio = None if w["ir"] is None else round(float(w["ir"]), 2)
    return (w["method"], w["dataset"], ratio, w["model"], w["recipe"], w["precision"], line.test_split, line.attack)


def _table(
    a: Source, b: Source, setting: Setting, attacks: Sequence[str], lines: dict[tuple[Any, ...], judge.Line]
) -> Table | None:
    configs = [c for c in a.configs(setting) if c in b.index[setting]]
    attacks = [x for x in attacks if any(_both(a, b, setting, c, x) for c in configs)]
    rows, used = [], []
    for config in configs:
        cells: list[Cell] = []
        for attack in attacks:
            pair = _both(a, b, setting, config, attack)
            used += pair[0] if pair else []
            cells += _cells(a, b, setting, config, attack, pair, lines) if pair else [Cell(), Cell(), Cell()]
        if any(c.value is not None for c in cells):
            labels = (
                paper.method_label(config.label),
                format_value(config.ir),
                paper.MODEL_LABEL.get(config.model, config.model),
            )
            rows.append(Row(labels, tuple(cells)))
    if not rows:
        return None
    columns = [Column(name, paper.attack_label(x)) for x in attacks for name in ("A", "B", "A − B")]
    stores = (("A", str(a.root)), ("B", str(b.root)))
    return Table(
        key=slug(f"compare-{setting.dataset}-{setting.digest}"), title="Comparison",
        caption="Balanced accuracy and robustness of two results folders", heads=("Method", "IR", "Model"),
        columns=tuple(columns), rows=tuple(rows), words=(setting.dataset, *words(setting)),
        data=f"{setting.dataset}, pixels from {setting.source}, {heading(setting)}",
        settings=(*stores, *settings_lines(a, setting, used, attacks)), footnotes=tuple(Footnote("", n) for n in NOTES),
    )  # fmt: skip


def _both(
    a: Source, b: Source, setting: Setting, config: Config, attack: str
) -> tuple[list[Evaluation], list[Evaluation]] | None:
    """Evaluations of the seeds that both stores have; None when they share none."""
    mine, other = (s.evaluations(setting, config, attack) for s in (a, b))
    seeds = {e.seed for e in mine} & {e.seed for e in other}
    if not seeds:
        return None
    return _of(mine, seeds), _of(other, seeds)


def _of(found: Iterable[Evaluation], seeds: set[int]) -> list[Evaluation]:
    return sorted((e for e in found if e.seed in seeds), key=lambda e: e.seed)


def _cells(
    a: Source, b: Source, setting: Setting, config: Config, attack: str,
    pair: tuple[list[Evaluation], list[Evaluation]], lines: dict[tuple[Any, ...], judge.Line],
) -> list[Cell]:  # fmt: skip
    made = []
    for source, found in zip((a, b), pair, strict=True):
        got = source.estimate(found, "balanced")
        made.append(Cell(value=100 * got.value, sampling=_span(got.sampling), seeds=_span(got.seeds),
                         selector=(setting.test_split, attack), provenance=tuple(e.cell for e in found)))  # fmt: skip
    ratio = None if setting.natural else config.ir
    line = lines.get((config.label, setting.dataset, ratio, config.model, setting.recipe, setting.precision,
                      setting.test_split, attack))  # fmt: skip
    if line is None:
        return [*made, Cell(value=(made[0].value or 0) - (made[1].value or 0))]
    result = line.comparison
    mark = SIGN.get(line.verdict)
    return [
        *made,
        Cell(
            value=100 * result.difference,
            sampling=_span(result.images),
            seeds=_span(result.seeds),
            marks=(mark,) if mark else (),
        ),
    ]


def _span(interval: Interval | None) -> tuple[float, float] | None:
    """The ends in per cent."""
    return None if interval is None else (100 * interval.low, 100 * interval.high)
