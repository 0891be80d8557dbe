"""Overview: everything in the store, by setting and metric, whether or not a table of the paper has it."""

from __future__ import annotations

import math

from bench.api import register
from bench.config import format_value
from bench.reports import paper
from bench.reports.model import Column, Table
from bench.reports.source import Source
from bench.reports.table import Grid, RowSpec, place
from bench.reports.text import slug
from bench.store.where import Where

#: metric -> (what it is called in a title, what it is)
METRICS = {
    "balanced": ("balanced accuracy", "Balanced accuracy and robustness: mean of per-class recall"),
    "standard": ("standard accuracy", "Standard accuracy and robustness: correct over all images"),
    "tail": ("tail classes", "Tail classes: mean recall of the rarest half of the classes"),
    "worst-class": ("worst class", "Worst class: lowest recall of a class"),
}


@register("tables")
class Overview:
    """One table a setting and metric; a row is a configuration, a column an attack."""

    name = "overview"
    number = 0

    def tables(self, source: Source, dataset: str | None = None, test_split: str | None = None) -> list[Table]:
        """All settings of the store, or those of one data set or test split."""
        chosen = [
            (setting, metric)
            for setting in sorted(source.index, key=_usual_first)
            if dataset in (None, setting.dataset) and test_split in (None, setting.test_split)
            for metric in METRICS
        ]
        return [self._table(source, *one, f"Overview {i}") for i, one in enumerate(chosen, 1)]

    def _table(self, source: Source, setting: Where, metric: str, title: str) -> Table:
        attacks, rows, places = source.attacks([setting]), [], []
        for config in source.configs(setting):
            runs = {e.seed for a in attacks for e in source.evaluations(setting, config, a)}
            ratio = "natural" if math.isnan(config.ir) else format_value(config.ir)
            model = paper.MODEL_LABEL.get(config.model, config.model)
            labels = (paper.method_label(config.label), ratio, model, str(len(runs)))
            rows.append(RowSpec(labels, group=f"{config.ir} {config.model}"))
            places.append([place(source, setting, config, {"attack": a}, metric) for a in attacks])
        called, caption = METRICS[metric]
        own = setting.source == paper.ORIGINAL.get(setting.dataset)
        what = paper.DATA_LABEL[setting.dataset] if own else f"{setting.dataset}, pixels from {setting.source}"
        return Grid(source, setting, rows, places).fill(
            Table(
                key=slug(f"overview-{metric}-{setting.dataset}-{setting.digest}"),
                title=title,
                caption=caption,
                heads=("Method", "IR", "Model", "Seeds"),
                columns=tuple(Column(paper.attack_label(a), attack=a) for a in attacks),
                rows=(),
                minor=metric != "balanced",
                words=(called, paper.DATA_LABEL[setting.dataset] if own else setting.dataset, *setting.title()),
                data=f"{what}, {setting.heading()}",
            )
        )


def _usual_first(setting: Where) -> tuple[str, bool, bool]:
    """The paper's recipe and test split stand before others of a data set, as in the answers."""
    return setting.dataset, setting.recipe != "paper", setting.test_split != "long-tailed"
