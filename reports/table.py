"""What a file of `reports/tables` declares, and how rows x columns fill one grid of cells for every setting.

Each row and each column picks some of what a cell shows (method, ratio, model, settings, attack, class); together they
say where to look. A table is always rendered once for the paper's own data, measured or not, and once more for every
other setting of the store (another data set, pixel source, test split, recipe, ...) that fills at least two of its
configurations. Numbers of a stand-in source stand under their own heading, with the paper's value as context only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypedDict

import numpy as np

from bench.config import format_value
from bench.judge.doubt import disqualified
from bench.judge.evaluations import Evaluation
from bench.reports import commands, paper
from bench.reports.footnote import settings_lines
from bench.reports.marks import Ledger, audit_note
from bench.reports.model import Cell, Column, Footnote, PaperNumber, Row, Table, Verdict
from bench.reports.panels import OfPaper, Panel
from bench.reports.source import Config, Source, counted
from bench.store.where import SETTING, Where

#: the columns of most tables; `cw-linf` is ours
ATTACKS = ("clean", "fgsm", "pgd-20", "cw-l2", "cw-linf", "aa")
#: what stands for a number that cannot be: the mean of nothing
NO_IMAGES = "no test images"


class Pick(TypedDict, total=False):
    """What a row or a column picks of its cells.

    `metric`: a name of `bench.judge.metrics.METRICS`, or `class` with `position` (0: most frequent class).
    `variable`, `class_name`: the paper's keys of the number.
    """

    method: str
    ir: float
    model: str
    params: Mapping[str, float]
    variable: str
    attack: str
    metric: str
    position: int
    class_name: str


@dataclass(frozen=True)
class RowSpec:
    """Labels and what they pick. Rows of one `group` are ranked together and stand together."""

    labels: tuple[str, ...]
    where: Pick = field(default_factory=Pick)
    group: str = ""


@dataclass(frozen=True)
class ColumnSpec:
    """Head, what it picks, and spanning head."""

    label: str
    where: Pick = field(default_factory=Pick)
    group: str = ""


@dataclass(frozen=True)
class Place:
    """Where one cell looks, and what is there: evaluations that differ only in their seed, and the paper's number."""

    config: Config
    attack: str
    metric: str
    position: int
    found: Sequence[Evaluation]
    printed: PaperNumber | None


def place(
    source: Source,
    setting: Where,
    config: Config,
    pick: Pick,
    metric: str = "balanced",
    printed: PaperNumber | None = None,
) -> Place:
    """The place of a configuration under what else is picked."""
    attack = pick["attack"]
    found = source.evaluations(setting, config, attack)
    return Place(config, attack, pick.get("metric", metric), pick.get("position", 0), found, printed)


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

    def tables(self, source: Source, dataset: str | None = None, test_split: str | None = None) -> list[Table]:
        """The paper's own rendering and one for every other setting that has enough of it, in a fixed order.

        A data set asked for by name gets a rendering of every table, however little there is.
        """
        made: list[Table] = []
        for panel in self.panels(source, dataset, test_split):
            rows, columns = self.rows(panel), self.columns(panel)
            places = [[self._place(source, panel, row, column) for column in columns] for row in rows]
            filled = {p.config for line in places for p in line if p.found}
            if not panel.is_paper and len(filled) < (0 if dataset else 2):
                continue
            blank = Table(
                key=self.key(panel),
                title=f"Table {self.number}" + (f".{len(made)}" if made else ""),
                caption=self.caption,
                heads=self.heads,
                columns=tuple(Column(c.label, c.group, c.where.get("attack", "")) for c in columns),
                rows=(),
                words=self.words(panel),
                data=self.data(panel),
                footnotes=tuple(Footnote("", text) for text in self.notes),
                commands=(commands.preset(source, self.name.replace("table0", "table")),) if panel.is_paper else (),
            )
            grid = Grid(source, panel.setting, rows, places, self._comparable(panel), self.across)
            made.append(grid.fill(blank))
        return made

    def _comparable(self, panel: Panel) -> Verdict | None:
        """None where numbers may be judged by the paper's, else the verdict that says why not."""
        if panel.is_paper:
            return None
        same_data = panel.setting.source == paper.ORIGINAL.get(self.dataset)
        return Verdict.OTHER_SETTINGS if same_data else Verdict.OTHER_DATA

    def _place(self, source: Source, panel: Panel, row: RowSpec, column: ColumnSpec) -> Place:
        """What a row and a column pick together; settings and the paper's variable of both, else the row's word."""
        pick: Pick = {**column.where, **row.where}
        params = {**column.where.get("params", {}), **row.where.get("params", {})}
        named = ";".join(w["variable"] for w in (row.where, column.where) if w.get("variable"))
        ir, model = pick.get("ir", panel.irs[0]), pick.get("model", panel.models[0])
        printed = paper.number(
            self.number,
            ir=ir,
            model=model if panel.is_paper else self.models[0],
            method=pick["method"],
            attack=pick["attack"],
            variable=";".join(sorted(named.split(";"))),
            class_name=pick.get("class_name", ""),
        )
        config = Config(ir, model, pick["method"], tuple(sorted(params.items())))
        return place(source, panel.setting, config, pick, self.metric, printed)


class Grid:
    """The cells of one table under one setting, and what its footnotes and commands say of them together.

    `comparable`: None when data and settings are the paper's, else the verdict that says they are not.
    `across`: ranks over the whole table, not column by column.
    """

    def __init__(
        self,
        source: Source,
        setting: Where,
        rows: Sequence[RowSpec],
        places: Sequence[Sequence[Place]],
        comparable: Verdict | None = None,
        across: bool = False,
    ) -> None:
        self.source, self.setting, self.rows, self.places = source, setting, rows, places
        self.comparable, self.across = comparable, across
        self.flat = [p for line in places for p in line]
        self.most = max((len(p.found) for p in self.flat), default=0)
        self.ledger = Ledger()
        over = Counter(e.over for p in self.flat for e in p.found if e.over)
        #: the attacks over which most worst cases of the table are taken; where two are as many, the more attacks
        self.usual = max(over, key=lambda attacks: (over[attacks], len(attacks), attacks), default=())

    def fill(self, blank: Table) -> Table:
        """The table with its rows, settings, footnotes and commands; those it has are for a table without numbers."""
        cells = [[self._cell(p) for p in line] for line in self.places]
        ranks = self._ranks(cells)
        rows = tuple(
            Row(row.labels, tuple(replace(cell, rank=ranks.get((i, j), 0)) for j, cell in enumerate(cells[i])))
            for i, row in enumerate(self.rows)
        )
        used = [e for p in self.flat for e in p.found]
        attacks = tuple(dict.fromkeys(p.attack for p in self.flat))
        notes = [Footnote("", paper.ATTACK_NOTE[a]) for a in attacks if a in paper.ATTACK_NOTE]
        missing = commands.fill(self.source, self.setting, [(p.config, p.attack) for p in self.flat if not p.found])
        return replace(
            blank,
            rows=rows,
            settings=settings_lines(self.source, self.setting, used, attacks),
            footnotes=(*self.ledger.footnotes(), *blank.footnotes, *notes),
            commands=(not used and blank.commands) or tuple(missing),
        )

    def _cell(self, p: Place) -> Cell:
        """A cell of evaluations beside the paper's number, or of what is missing and the command that measures it."""
        found = p.found
        printed = p.printed if found or self.comparable is None else None  # no context beside an empty cell
        if found:
            command = commands.again(self.source, self.setting, p.config, p.attack)
        else:
            command = " && ".join(commands.fill(self.source, self.setting, [(p.config, p.attack)]))
        base = Cell(
            paper=printed,
            paper_mark=self.ledger.paper(printed),
            command=command,
            verdict=Verdict.MISSING,
            selector=(self.setting.test_split, p.attack),
            keys=_keys(self.setting, p),
        )
        broken = self.source.failed(self.setting, p.config) if self.source.failures else []
        if not found:
            note = f"failed: {why.message}" if broken and (why := broken[0].failure) else ""
            return replace(base, provenance=tuple(c.id for c in broken), note=note)
        few = (self.ledger.few(len(found)),) if len(found) < self.most else ()
        base = replace(base, provenance=tuple(e.cell for e in found))
        got = self.source.estimate(found, p.metric, p.position)
        if math.isnan(got.value):
            return replace(base, verdict=Verdict.NO_PAPER, note=NO_IMAGES, marks=few)
        n, correct = (np.array(some) for some in zip(*(counted(e, p.metric, p.position) for e in found), strict=True))
        gap, verdict = paper.verdict(printed, self.comparable, p.metric, n, correct)
        size = n.mean(axis=0)
        constant = {"balanced": 100 / len(size), "standard": 100 * float(size.max() / size.sum())}
        flags = tuple(dict.fromkeys(f for e in found for f in e.flags))
        sampling, seeds = (None if i is None else (100 * i.low, 100 * i.high) for i in (got.sampling, got.seeds))
        return replace(
            base,
            value=100 * got.value,
            sampling=sampling,
            seeds=seeds,
            difference=gap,
            verdict=verdict,
            chance=constant.get(p.metric),
            marks=(*self.ledger.flags(flags), *few, *self._over(found), *self._audited(found)),
            doubtful=disqualified(e.flags for e in found),
            note=f"{len(broken)} seed(s) failed" if broken else "",
            audit=_audit_words(found),
        )

    def _audited(self, found: Sequence[Evaluation]) -> tuple[str, ...]:
        """Mark of a number in which an audit has part."""
        chains = [e.chain for e in found if e.chain]
        return self.ledger.audited(chains) if chains else ()

    def _over(self, found: Sequence[Evaluation]) -> tuple[str, ...]:
        """Marks of a worst case over other attacks than most of the table's."""
        return tuple(self.ledger.over(over) for over in sorted({e.over for e in found}) if over not in ((), self.usual))

    def _ranks(self, cells: Sequence[Sequence[Cell]]) -> dict[tuple[int, int], int]:
        """Best (1) and second best (2) among comparable numbers: each column for itself, or across the whole table.

        Comparable: rows of one group whose runs are reduced alike, worst cases over the same attacks. Equal printed
        numbers share a rank. A lone number is not a best, and a second best needs three. A doubtful one takes no part.
        """
        pools: dict[tuple[Hashable, ...], dict[tuple[int, int], float]] = {}
        for i, row in enumerate(self.rows):
            reduced = next((e.where.reduced for p in self.places[i] for e in p.found), "")
            for j, cell in enumerate(cells[i]):
                if cell.value is not None and not cell.doubtful:
                    over = frozenset(e.over for e in self.places[i][j].found)
                    pool = pools.setdefault((row.group, reduced, over, 0 if self.across else j), {})
                    pool[i, j] = round(cell.value, 2)
        return {at: rank for pool in pools.values() for at, rank in _best_two(pool)}


def _keys(setting: Where, p: Place) -> tuple[tuple[str, str], ...]:
    """What a number is of: the coordinates of its setting and configuration, its attack, metric, class and seeds."""
    told = {name: getattr(setting, name) for name in SETTING if name != "natural"}
    told |= {
        "method": p.config.method,
        "variant": p.config.variant,
        "ir": p.config.ir,
        "model": p.config.model,
        "attack": p.attack,
        "metric": "recall" if p.metric == "class" else p.metric,
        "class": p.found[0].counts.names[p.position] if p.metric == "class" and p.found else "",
        "seeds": " ".join(str(e.seed) for e in p.found),
    }
    return tuple((name, _plain(value)) for name, value in told.items())


def _plain(value: object) -> str:
    """A coordinate as text: numbers as short as they are, nothing for what is not known."""
    if isinstance(value, float):
        return "" if math.isnan(value) else format_value(value)
    return str(value)


def _audit_words(found: Sequence[Evaluation]) -> str:
    """What an audited number is, and what came out, a seed each: for formats without footnotes."""
    chains = dict.fromkeys(e.chain for e in found if e.chain)
    return "; ".join([audit_note(chains), *(e.words for e in found if e.words)]) if chains else ""


def _best_two(pool: Mapping[tuple[int, int], float]) -> Iterable[tuple[tuple[int, int], int]]:
    best = sorted(set(pool.values()), reverse=True)
    for at, value in pool.items():
        if len(best) > 1 and value == best[0]:
            yield at, 1
        elif len(pool) > 2 and len(best) > 2 and value == best[1]:
            yield at, 2
