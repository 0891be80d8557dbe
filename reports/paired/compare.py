"""Two stores side by side: what both measured, with the paired difference on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.config import format_value
from bench.errors import StoreError
from bench.judge.evaluations import Evaluation
from bench.judge.paired import corrected
from bench.judge.stats import Interval
from bench.reports import paper
from bench.reports.footnote import settings_lines
from bench.reports.marks import Ledger
from bench.reports.model import Cell, Column, Footnote, Row, Table
from bench.reports.paired.pairing import Pair, Pairs
from bench.reports.source import Config, Source
from bench.reports.text import slug
from bench.store.where import Where

NOTES = (
    "A − B is the paired difference on the same images: its first interval is the melded bounds over test "
    "images, the second Student t over seeds.",
    "▲ A better, ▼ A worse, both after Holm's correction over this comparison; no sign: not distinguishable.",
    "A difference without an interval is not paired: one of the stores lacks the bits of each image.",
    "No difference stands between numbers of other images, or between worst cases over other attacks.",
)
SIGN = {"better": "▲", "worse": "▼"}

#: setting, configuration, attack
Place = tuple[Where, Config, str]
#: evaluations of the seeds that both stores have
Both = tuple[list[Evaluation], list[Evaluation]]


def tables(a: Source, b: Source, dataset: str | None = None, test_split: str | None = None) -> list[Table]:
    """One table for each setting that both stores have something of. Raises StoreError when there is none."""
    settings = [
        s for s in a.index if s in b.index and dataset in (None, s.dataset) and test_split in (None, s.test_split)
    ]
    shared = {
        (s, c, x): both
        for s in settings
        for c in a.configs(s)
        if c in b.index[s]
        for x in a.attacks([s])
        if (both := _both(a, b, s, c, x))
    }
    verdicts = _paired(Pairs(a), Pairs(b), shared)
    parts = [
        (s, xs[i : i + 3])
        for s in settings  # three attacks a table, so that nine columns fit a page
        for xs in [[x for x in a.attacks([s]) if any((s, c, x) in shared for c in a.configs(s))]]
        for i in range(0, len(xs), 3)
    ]
    made = [_table(a, b, s, some, shared, verdicts) for s, some in parts]
    if not made:
        raise StoreError(f"{a.root} and {b.root} share no evaluation; give two results folders of one grid.")
    return [replace(t, title=f"Comparison {i}", key=f"{t.key}-{i}") for i, t in enumerate(made, 1)]


def _both(a: Source, b: Source, setting: Where, config: Config, attack: str) -> Both | None:
    """None when they share no seed."""
    mine, other = ({e.seed: e for e in s.evaluations(setting, config, attack)} for s in (a, b))
    seeds = sorted(mine.keys() & other.keys())
    return ([mine[s] for s in seeds], [other[s] for s in seeds]) if seeds else None


def _paired(a: Pairs, b: Pairs, shared: dict[Place, Both]) -> dict[Place, tuple[Pair, str]]:
    """What can be paired, with its verdict; corrected over all of it."""
    found = {
        place: pair
        for place, (mine, other) in shared.items()
        if (pair := a.compared(mine, place[0].test_split, other, place[0].test_split, b)) is not None
    }
    adjusted = corrected([pair.result for pair in found.values()])
    return {place: (pair, pair.result.verdict(p)) for (place, pair), p in zip(found.items(), adjusted, strict=True)}


def _table(
    a: Source,
    b: Source,
    setting: Where,
    attacks: Sequence[str],
    shared: dict[Place, Both],
    verdicts: dict[Place, tuple[Pair, str]],
) -> Table:
    rows, used, ledger = [], [], Ledger()
    for config in a.configs(setting):
        cells: list[Cell] = []
        for place in [(setting, config, attack) for attack in attacks]:
            both = shared.get(place)
            used += [*zip(*both, strict=True)] if both else []
            cells += _cells((a, b), place, both, verdicts.get(place), ledger) if both else [Cell(), Cell(), Cell()]
        if any(c.value is not None for c in cells):
            model = paper.MODEL_LABEL.get(config.model, config.model)
            rows.append(Row((paper.method_label(config.label), format_value(config.ir), model), tuple(cells)))
    columns = [Column(name, paper.attack_label(x)) for x in attacks for name in ("A", "B", "A − B")]
    stores = (("A", str(a.root)), ("B", str(b.root)))
    return Table(
        key=slug(f"compare-{setting.dataset}-{setting.digest}"),
        title="Comparison",
        caption="Balanced accuracy and robustness of two results folders",
        heads=("Method", "IR", "Model"),
        columns=tuple(columns),
        rows=tuple(rows),
        words=(setting.dataset, *setting.title()),
        data=f"{setting.dataset}, pixels from {setting.source}, {setting.heading()}",
        settings=(*stores, *_images(used), *settings_lines(a, setting, [mine for mine, _ in used], attacks)),
        footnotes=(*(Footnote("", n) for n in NOTES), *ledger.footnotes()),
    )


def _images(used: Sequence[tuple[Evaluation, Evaluation]]) -> list[tuple[str, str]]:
    """The images of both stores by their hashes, where they are not the same."""
    first, second = ({pair[side].where.data_hash for pair in used} for side in (0, 1))
    named = (("Images of A", first), ("Images of B", second))
    return [(name, ", ".join(sorted(some))) for name, some in named] if first != second else []


def _alike(both: Both) -> bool:
    """Whether every seed's two numbers are of the same images, and over the same attacks."""
    return all((a.where.data_hash, a.over) == (b.where.data_hash, b.over) for a, b in zip(*both, strict=True))


def _cells(
    stores: tuple[Source, Source], place: Place, both: Both, judged: tuple[Pair, str] | None, ledger: Ledger
) -> list[Cell]:
    made, selector = [], (place[0].test_split, place[2])
    for source, found in zip(stores, both, strict=True):
        got = source.estimate(found, "balanced")
        made.append(
            Cell(
                value=100 * got.value,
                sampling=_span(got.sampling),
                seeds=_span(got.seeds),
                selector=selector,
                provenance=tuple(e.cell for e in found),
                marks=ledger.flags(tuple(dict.fromkeys(f for e in found for f in e.flags))),
            )
        )
    if not _alike(both):
        return [*made, Cell()]
    if judged is None:
        return [*made, Cell(value=(made[0].value or 0) - (made[1].value or 0))]
    result, mark = judged[0].result, SIGN.get(judged[1])
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
