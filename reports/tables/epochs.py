"""Best and last epoch: what the epoch kept on validation images is worth beside the last one, and the gap between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.api import register
from bench.config import format_value
from bench.judge.stats import Estimate, Interval, over_seeds
from bench.reports import paper
from bench.reports.epochs import VALIDATION, Followed, Runs, at_epoch, followed, shared
from bench.reports.model import Cell, Column, Footnote, Row, Table
from bench.reports.source import Config, Source
from bench.reports.text import slug
from bench.store.where import Where

NOTES = (
    "best: the epoch kept by the validation images (select=best[ATTACK]), whose weights all other tables are about. "
    "last: the last epoch of the same training. gap: last minus best in points, with Student t over seeds.",
    "Balanced accuracy; of the validation images under the attack that select names: a flattering number of the best "
    "epoch, which was chosen by it. Attacks are there where they were followed (--track).",
)


@register("tables")
class Epochs:
    """One table a setting; there only where some cell keeps its best epoch."""

    name = "epochs"
    number = 91

    def tables(self, source: Source, dataset: str | None = None, test_split: str | None = None) -> list[Table]:
        """A row a configuration; best, last and gap a followed attack."""
        found = followed(source, dataset, test_split).items()
        return [_table(where, runs, number) for number, (where, runs) in enumerate(found, 1)]


def _table(where: Where, configs: Runs, number: int) -> Table:
    attacks = list(dict.fromkeys(a for runs in configs.values() for a in shared(runs)))
    heads = ("best", "last", "gap")
    groups = [("validation", VALIDATION), *((paper.attack_label(a), a) for a in attacks)]
    return Table(
        key=slug(f"epochs-{where.dataset}-{where.digest}"),
        title=f"Best and last epoch {number}",
        caption="Best and last epoch of the same trainings",
        heads=("Method", "IR", "Model", "Best of", "Seeds"),
        columns=tuple(Column(head, group, attack) for group, attack in groups for head in heads),
        rows=tuple(_row(config, runs, attacks) for config, runs in configs.items()),
        words=(where.dataset, *where.title()),
        data=f"{where.dataset}, {where.heading()}",
        footnotes=tuple(Footnote("", note) for note in NOTES),
    )


def _row(config: Config, runs: Sequence[Followed], attacks: Sequence[str]) -> Row:
    cells = _cells(runs, VALIDATION, None)
    for attack in attacks:
        there = attack in shared(runs)
        both = (at_epoch(runs, attack, False), at_epoch(runs, attack, True)) if there else None
        cells += _cells(runs, attack, both) if there else [Cell()] * 3
    kept = ", ".join(f"{run.kept + 1}/{len(run.log)}" for run in runs)
    model = paper.MODEL_LABEL.get(config.model, config.model)
    return Row((paper.method_label(config.label), format_value(config.ir), model, kept, str(len(runs))), tuple(cells))


def _cells(runs: Sequence[Followed], what: str, both: tuple[Estimate, Estimate] | None) -> list[Cell]:
    """Best, last, and last minus best."""
    cells = tuple(run.cell for run in runs)
    best, last = ([run.curve(what)[at(run)] for run in runs] for at in (_kept, _last))
    gaps = [b - a for a, b in zip(best, last, strict=True)]
    estimates = both or (None, None)
    made = [
        Cell(
            float(np.mean(values)),
            _span(one.sampling if one else None),
            _span(one.seeds if one else over_seeds([v / 100 for v in values])),
            provenance=cells,
        )
        for values, one in zip((best, last), estimates, strict=True)
    ]
    between = over_seeds([gap / 100 for gap in gaps], bounds=(-1.0, 1.0))
    return [*made, Cell(float(np.mean(gaps)), seeds=_span(between), provenance=cells)]


def _kept(run: Followed) -> int:
    return run.kept


def _last(run: Followed) -> int:
    return len(run.log) - 1


def _span(interval: Interval | None) -> tuple[float, float] | None:
    """The ends in per cent."""
    return None if interval is None else (100 * interval.low, 100 * interval.high)
