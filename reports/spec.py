"""What a file of `reports/tables` declares, and how one declaration becomes a table for every setting in the store.

A table is a grid of rows and columns; each says `where` to look (method, ratio, model, settings, attack, class). It
is always rendered once for the paper's own data, measured or not, and once more for every other setting of the store
(another data set, pixel source, test split, recipe, ...) that fills at least two of its configurations. Numbers of a
stand-in source stand under their own heading, with the paper's value as context only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from bench.config import BENCHMARK_VERSION, format_value
from bench.reports import paper
from bench.reports.build import Draft, Line, Query, build
from bench.reports.model import Column, Table, Verdict
from bench.reports.settings import heading
from bench.reports.source import Config, Setting, Source
from bench.reports.text import slug

#: the columns of most tables; `cw-linf` is ours
ATTACKS = ("clean", "fgsm", "pgd-20", "cw-l2", "cw-linf", "aa")


@dataclass(frozen=True)
class RowSpec:
    """Labels and where to look. Rows of one `group` are ranked together and stand together."""

    labels: tuple[str, ...]
    where: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class ColumnSpec:
    """Head, spanning head, and where to look."""

    label: str
    where: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Panel:
    """One rendering: a setting, and the axes the paper fixes or walks through, as this store has them."""

    setting: Setting
    irs: tuple[float, ...]
    models: tuple[str, ...]
    classes: tuple[str, ...]
    is_paper: bool
    extra_methods: tuple[str, ...] = ()
    extra_attacks: tuple[str, ...] = ()

    @property
    def ir(self) -> float:
        """The ratio of a table that has one."""
        return self.irs[0]


def is_paper(setting: Setting, dataset: str) -> bool:
    """Whether numbers under this setting may be compared with the paper's on `dataset`."""
    return (
        setting.dataset == dataset and setting.source == paper.ORIGINAL.get(dataset)
        and setting.recipe == "paper" and not setting.reduced and setting.test_split == "long-tailed"
        and abs(setting.eps - 8 / 255) < 1e-6 and setting.class_order == "natural"
    )  # fmt: skip


def paper_setting(dataset: str) -> Setting:
    """The setting of the paper's own numbers, for a store that has none under it."""
    return Setting(dataset, paper.ORIGINAL[dataset], "long-tailed", "paper", "", "fp32", round(8 / 255, 9), "seeded",
                   "natural", BENCHMARK_VERSION)  # fmt: skip


class PaperTable:
    """A table of the paper. Declare the class attributes, `rows` and `columns`; nothing else."""

    name: ClassVar[str]
    number: ClassVar[int]
    caption: ClassVar[str]
    heads: ClassVar[tuple[str, ...]] = ("Method",)
    metric: ClassVar[str] = "balanced"
    dataset: ClassVar[str] = "cifar10lt"
    irs: ClassVar[tuple[float, ...]] = (10.0,)
    models: ClassVar[tuple[str, ...]] = ("resnet18",)
    methods: ClassVar[tuple[str, ...]] = ()
    attacks: ClassVar[tuple[str, ...]] = ATTACKS
    across: ClassVar[bool] = False
    notes: ClassVar[tuple[str, ...]] = ()

    def rows(self, panel: Panel) -> list[RowSpec]:
        """Rows in order."""
        return [RowSpec((paper.method_label(m),), {"method": m}) for m in (*self.methods, *panel.extra_methods)]

    def columns(self, panel: Panel) -> list[ColumnSpec]:
        """Columns in order."""
        return [ColumnSpec(paper.attack_label(a), {"attack": a}) for a in (*self.attacks, *panel.extra_attacks)]

    # ------------------------------------------------------------------------------------------------ rendering

    def tables(self, source: Source, dataset: str | None = None, test_split: str | None = None) -> list[Table]:
        """The paper's own rendering and one for every other setting that has enough of it, in a fixed order."""
        made: list[Table] = []
        for panel in self.panels(source, dataset, test_split):
            draft = self.draft(panel)
            filled = {q.config for li in draft.lines for q in li.queries
                      if source.evaluations(panel.setting, q.config, q.attack)}  # fmt: skip
            if panel.is_paper or len(filled) >= (1 if dataset else 2):
                title = f"Table {self.number}" + (f".{len(made)}" if made else "")
                made.append(build(replace(draft, title=title), source, panel.setting))
        return made

    def panels(self, source: Source, dataset: str | None, test_split: str | None) -> Iterator[Panel]:
        """All bindings of this table to settings, ratios and models of the store; the paper's first."""
        settings = [s for s in source.index if _chosen(s, dataset, test_split)]
        own = [s for s in settings if is_paper(s, self.dataset)]
        if not own and dataset in (None, self.dataset) and test_split in (None, "long-tailed"):
            own = [paper_setting(self.dataset)]
        for setting in own:
            yield self._panel(source, setting, self.irs, self.models, True)
        for setting in settings:
            if dataset is None and not self._suits(source, setting):
                continue
            for irs, models in self._axes(source, setting):
                covered = setting in own and set(irs) <= set(self.irs) and set(models) <= set(self.models)
                lonely = dataset is None and len(models) < 2 <= len(self.models)
                if not covered and not lonely:
                    yield self._panel(source, setting, irs, models, False)

    def _suits(self, source: Source, setting: Setting) -> bool:
        """Whether a setting stands in for this table's data by itself: as many classes, and not the paper's other data."""
        if setting.source in paper.ORIGINAL.values():
            return setting.source == paper.ORIGINAL[self.dataset]
        counts = {len(e.names) for c in source.index[setting].values() for found in c.values() for e in found[:1]}
        return counts == {paper.CLASSES[self.dataset]}

    def _axes(self, source: Source, setting: Setting) -> Iterator[tuple[tuple[float, ...], tuple[str, ...]]]:
        """Ratios and models of the store: all in one table where the paper walks through them, else one table each."""
        configs = source.configs(setting)
        models = sorted({c.model for c in configs})
        for chosen in [tuple(models)] if len(self.models) > 1 else [(m,) for m in models]:
            irs = sorted({c.ir for c in configs if c.model in chosen})
            yield from ((some, chosen) for some in ([tuple(irs)] if len(self.irs) > 1 else [(ir,) for ir in irs]))

    def _panel(self, source: Source, setting: Setting, irs: tuple[float, ...], models: tuple[str, ...],
               own: bool) -> Panel:  # fmt: skip
        configs = [c for c in source.configs(setting) if c.ir in irs and c.model in models]
        some = next((e for c in configs for found in source.index[setting][c].values() for e in found), None)
        classes = some.names if some is not None else _CLASSES.get(setting.dataset, ())
        extra = sorted({c.method for c in configs if not c.params} - set(self.methods)) if self.methods else []
        has_aa10 = any("aa-10" in source.index[setting][c] for c in configs)
        return Panel(setting, irs, models, classes, own, tuple(extra), ("aa-10",) if has_aa10 else ())

    def draft(self, panel: Panel) -> Draft:
        """Rows crossed with columns."""
        columns = self.columns(panel)
        lines = tuple(
            Line(row.labels, tuple(self._query(panel, {**c.where, **row.where} | _params(row, c)) for c in columns), row.group)
            for row in self.rows(panel)
        )
        comparable = None
        if not panel.is_paper:
            same_data = panel.setting.source == paper.ORIGINAL.get(self.dataset)
            comparable = Verdict.OTHER_SETTINGS if same_data else Verdict.OTHER_DATA
        return Draft(
            key=self.name if panel.is_paper and panel.setting == paper_setting(self.dataset) else self._key(panel),
            title=f"Table {self.number}", caption=self.caption, heads=self.heads,
            columns=tuple(Column(c.label, c.group) for c in columns), lines=lines, number=self.number,
            comparable=comparable, across=self.across, data=self._data(panel), notes=self.notes,
            preset=self.name.replace("table0", "table") if panel.is_paper else "",
        )  # fmt: skip

    def _query(self, panel: Panel, where: dict[str, Any]) -> Query:
        ir, model = where.get("ir", panel.irs[0]), where.get("model", panel.models[0])
        config = Config(ir, model, where["method"], tuple(sorted(where.get("params", {}).items())))
        key = {"ir": ir, "model": model if panel.is_paper else self.models[0], "method": where["method"],
               "attack": where["attack"], "variable": where.get("variable", ""),
               "class_name": where.get("class_name", "")}  # fmt: skip
        return Query(config, where["attack"], where.get("metric", self.metric), where.get("position", 0), key)

    def _data(self, panel: Panel) -> str:
        s = panel.setting
        axes = []
        if len(self.irs) == 1:
            axes.append(f"IR {format_value(panel.ir)}")
        if len(self.models) == 1:
            axes.append(paper.MODEL_LABEL.get(panel.models[0], panel.models[0]))
        if s.source == paper.ORIGINAL.get(s.dataset):
            what = paper.DATA_LABEL[s.dataset]
        else:
            what = f"{s.dataset}, pixels from {s.source} — not the paper's data"
        return ", ".join([what, *axes, heading(s)])

    def _key(self, panel: Panel) -> str:
        ratio = (f"ir{panel.ir:g}",) if len(self.irs) == 1 else ()
        models = panel.models if len(self.models) == 1 else ()
        return slug("-".join((self.name, panel.setting.dataset, *ratio, *models, panel.setting.digest)))


def _params(row: RowSpec, column: ColumnSpec) -> dict[str, Any]:
    """Settings and paper's variable that row and column bring together."""
    params = {**column.where.get("params", {}), **row.where.get("params", {})}
    named = [w["variable"] for w in (row.where, column.where) if w.get("variable")]
    return {"params": params, "variable": ";".join(sorted(";".join(named).split(";")))}


def _chosen(setting: Setting, dataset: str | None, test_split: str | None) -> bool:
    return dataset in (None, setting.dataset) and test_split in (None, setting.test_split)


#: class names of data sets whose tables show some of them, for a store without them
_CLASSES = {"cifar10lt": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")}
