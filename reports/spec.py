"""What a file of `reports/tables` declares, and how one declaration becomes a table for every setting in the store.

A table is a grid of rows and columns; each says `where` to look (method, ratio, model, settings, attack, class). It
is always rendered once for the paper's own data, measured or not, and once more for every other setting of the store
(another data set, pixel source, test split, recipe, ...) that fills at least two of its configurations. Numbers of a
stand-in source stand under their own heading, with the paper's value as context only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from bench.reports import paper
from bench.reports.build import Draft, Line, Query, build
from bench.reports.model import Column, Table, Verdict
from bench.reports.panels import OfPaper, Panel
from bench.reports.source import Config, Source

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


class PaperTable(OfPaper):
    """A table of the paper. Declare the class attributes, `rows` and `columns`; nothing else."""

    heads: ClassVar[tuple[str, ...]] = ("Method",)
    metric: ClassVar[str] = "balanced"
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
        """The paper's own rendering and one for every other setting that has enough of it, in a fixed order.

        A data set asked for by name gets a rendering of every table, however little there is.
        """
        made: list[Table] = []
        for panel in self.panels(source, dataset, test_split):
            draft = self.draft(panel)
            filled = {q.config for li in draft.lines for q in li.queries
                      if source.evaluations(panel.setting, q.config, q.attack)}  # fmt: skip
            if panel.is_paper or len(filled) >= (0 if dataset else 2):
                title = f"Table {self.number}" + (f".{len(made)}" if made else "")
                made.append(build(replace(draft, title=title), source, panel.setting))
        return made

    def draft(self, panel: Panel) -> Draft:
        """Rows crossed with columns."""
        columns = self.columns(panel)
        lines = tuple(
            Line(
                row.labels,
                tuple(self._query(panel, {**c.where, **row.where} | _params(row, c)) for c in columns),
                row.group,
            )
            for row in self.rows(panel)
        )
        comparable = None
        if not panel.is_paper:
            same_data = panel.setting.source == paper.ORIGINAL.get(self.dataset)
            comparable = Verdict.OTHER_SETTINGS if same_data else Verdict.OTHER_DATA
        return Draft(
            key=self.key(panel),
            title=f"Table {self.number}", caption=self.caption, heads=self.heads,
            columns=tuple(Column(c.label, c.group) for c in columns), lines=lines, number=self.number,
            comparable=comparable, across=self.across, words=self.words(panel), data=self.data(panel), notes=self.notes,
            preset=self.name.replace("table0", "table") if panel.is_paper else "",
        )  # fmt: skip

    def _query(self, panel: Panel, where: dict[str, Any]) -> Query:
        ir, model = where.get("ir", panel.irs[0]), where.get("model", panel.models[0])
        config = Config(ir, model, where["method"], tuple(sorted(where.get("params", {}).items())))
        key = {"ir": ir, "model": model if panel.is_paper else self.models[0], "method": where["method"],
               "attack": where["attack"], "variable": where.get("variable", ""),
               "class_name": where.get("class_name", "")}  # fmt: skip
        return Query(config, where["attack"], where.get("metric", self.metric), where.get("position", 0), key)


def _params(row: RowSpec, column: ColumnSpec) -> dict[str, Any]:
    """Settings and paper's variable that row and column bring together."""
    params = {**column.where.get("params", {}), **row.where.get("params", {})}
    named = [w["variable"] for w in (row.where, column.where) if w.get("variable")]
    return {"params": params, "variable": ";".join(sorted(";".join(named).split(";")))}
