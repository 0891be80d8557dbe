"""Tails: balanced and tail accuracy side by side (say here what yours shows; `bench ls` prints it)."""

from __future__ import annotations

import math

from bench.api import register
from bench.reports import paper
from bench.reports.model import Column, Table
from bench.reports.source import Source
from bench.reports.table import Grid, RowSpec, place
from bench.store.where import Where

#: (head, attack, metric) of each column
COLUMNS = (
    ("clean", "clean", "balanced"),
    ("clean, tail", "clean", "tail"),
    ("FGSM", "fgsm", "balanced"),
    ("FGSM, tail", "fgsm", "tail"),
)


@register("tables")
class Tails:
    """One table a setting of the store; a row is a configuration. Cells, marks and footnotes come from the grid."""

    name = "tails"
    number = 0

    def tables(self, source: Source, dataset: str | None = None, test_split: str | None = None) -> list[Table]:
        """All settings of the store, or those of one data set or test split."""
        chosen = [s for s in source.index if dataset in (None, s.dataset) and test_split in (None, s.test_split)]
        return [self._table(source, setting, i) for i, setting in enumerate(chosen, 1)]

    def _table(self, source: Source, setting: Where, number: int) -> Table:
        rows, places = [], []
        for config in source.configs(setting):
            ratio = "natural" if math.isnan(config.ir) else f"{config.ir:g}"
            rows.append(RowSpec((paper.method_label(config.label), ratio, config.model), group=f"{config.ir}"))
            places.append([place(source, setting, config, {"attack": a}, metric) for _, a, metric in COLUMNS])
        blank = Table(
            key=f"tails-{setting.dataset}-{setting.digest}",
            title=f"Tails {number}",
            caption="Balanced accuracy, and mean recall of the rarest half of the classes",
            heads=("Method", "IR", "Model"),
            columns=tuple(Column(head, attack=attack) for head, attack, _ in COLUMNS),
            rows=(),
            words=(setting.dataset, *setting.title()),
            data=f"{setting.dataset}, pixels from {setting.source}, {setting.heading()}",
        )
        return Grid(source, setting, rows, places).fill(blank)
