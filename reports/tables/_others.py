"""Tables of other papers than TAET's: there only where the store has their rows, one a setting, ratio, network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from bench.config import format_value, parse_method
from bench.reports import paper
from bench.reports.model import Column, Footnote, PaperNumber, Table, Verdict
from bench.reports.source import Config, Source
from bench.reports.table import Grid, RowSpec, place
from bench.reports.text import slug
from bench.store.where import Where


class OtherPaper:
    """Declare the attributes and `rows`; `printed` where the paper's numbers are known."""

    name: ClassVar[str]
    number: ClassVar[int]
    caption: ClassVar[str]
    heads: ClassVar[tuple[str, ...]]
    attacks: ClassVar[tuple[str, ...]]
    notes: ClassVar[tuple[str, ...]]
    #: metric -> its column's head
    metrics: ClassVar[dict[str, str]] = {"balanced": "all", "tail-80": "tail 80 %"}

    def rows(self, configs: Sequence[Config]) -> list[tuple[RowSpec, Config]]:
        """Rows in order, of the configurations of one ratio and network; none where there is too little."""
        raise NotImplementedError("abstract")

    def printed(self, setting: Where, config: Config, attack: str, metric: str) -> PaperNumber | None:
        """The paper's number; None under other settings than its own."""
        return None

    def tables(self, source: Source, dataset: str | None = None, test_split: str | None = None) -> list[Table]:
        """One table a setting, ratio and network that has rows."""
        made: list[Table] = []
        for setting, ratio, model, rows in self._chosen(source, dataset, test_split):
            columns = [(attack, metric) for attack in self.attacks for metric in self.metrics]
            places = [
                [place(source, setting, c, {"attack": a}, m, self.printed(setting, c, a, m)) for a, m in columns]
                for _, c in rows
            ]
            judged = any(p.printed for line in places for p in line)
            blank = Table(
                key=slug(f"{self.name}-{setting.dataset}-ir{ratio}-{model}-{setting.digest}"),
                title=f"{self.caption.partition(':')[0]} {len(made) + 1}",
                caption=self.caption,
                heads=self.heads,
                columns=tuple(Column(self.metrics[m], paper.attack_label(a), a) for a, m in columns),
                rows=(),
                words=(setting.dataset, f"IR {ratio}", paper.MODEL_LABEL.get(model, model), *setting.title()),
                data=f"{setting.dataset}, pixels from {setting.source}, {setting.heading()}",
                footnotes=tuple(Footnote("", text) for text in self.notes),
            )
            comparable = None if judged else Verdict.OTHER_SETTINGS
            made.append(Grid(source, setting, [row for row, _ in rows], places, comparable).fill(blank))
        return made

    def _chosen(
        self, source: Source, dataset: str | None, test_split: str | None
    ) -> Iterator[tuple[Where, str, str, list[tuple[RowSpec, Config]]]]:
        for setting in source.index:
            if dataset in (None, setting.dataset) and test_split in (None, setting.test_split):
                configs = source.configs(setting)
                for ir, model in sorted({(c.ir, c.model) for c in configs}):
                    if rows := self.rows([c for c in configs if (c.ir, c.model) == (ir, model)]):
                        yield setting, format_value(ir), model, rows


def parts(config: Config) -> tuple[str, tuple[str, ...]]:
    """(method, names of its enhancers) of a configuration."""
    (method, _), *tricks = parse_method(config.method)
    return method, tuple(name for name, _ in tricks)
