"""The one table model: what a renderer is given, and all it may know.

A `Table` is a grid of `Cell`s under spanned `Column`s beside `Row` labels. A cell holds the measured mean over seeds
with both intervals, the paper's number, their difference, a verdict, its rank in the column, its marks and where it
comes from. Renderers only lay this out: every number that can be printed is formatted by `reports.text`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property


class Verdict(StrEnum):
    """What the measured number says about the printed one."""

    MATCH = "match"
    NOISE = "within noise"
    OFF = "off"
    IMPOSSIBLE = "impossible in the paper"
    REPORT = "report only"
    MISSING = "not measured yet"
    OTHER_DATA = "other data"
    OTHER_SETTINGS = "other settings"
    NO_PAPER = "no paper value"


#: sign of each verdict in the page, in Markdown and (as a macro) in LaTeX; colour is never the only carrier
SIGNS = {
    Verdict.MATCH: "=",
    Verdict.NOISE: "≈",
    Verdict.OFF: "≠",
    Verdict.IMPOSSIBLE: "⊘",
    Verdict.REPORT: "",
    Verdict.MISSING: "…",
    Verdict.OTHER_DATA: "",
    Verdict.OTHER_SETTINGS: "",
    Verdict.NO_PAPER: "",
}


#: (test split, attack), cells, value in per cent: which number it is, in whatever table
Number = tuple[tuple[str, str], tuple[str, ...], float]


@dataclass(frozen=True)
class PaperNumber:
    """A number as the paper prints it. `standing`: target, report (only) or never; `reason` says why."""

    printed: str
    standing: str = "target"
    reason: str = ""
    emphasis: str = ""

    @property
    def value(self) -> float:
        """The number, in per cent."""
        return float(self.printed)


@dataclass(frozen=True)
class Cell:
    """One number of a table, in per cent.

    `sampling`, `seeds`: 95 % intervals (low, high) over test images and over training seeds, None where unknown.
    `marks` belong to the measured number, `paper_mark` to the printed one; footnotes explain both. `doubtful`: a flag
    says that the measured number may not be what it seems, so it takes no rank. `chance`: what a constant answer gets,
    None for a metric of which that is not known.
    `provenance`: ids of the store's cells that went into it; `runs`: training seeds, where these are not one a cell.
    `command`: what measures it.
    `selector`: (test split, attack label), where the counts stand inside those cells. `keys`: what the number is of, a
    name and a value each, for programs.
    `audit`: of an audited number, what it is and what came out, for formats without footnotes.
    """

    value: float | None = None
    sampling: tuple[float, float] | None = None
    seeds: tuple[float, float] | None = None
    paper: PaperNumber | None = None
    difference: float | None = None
    verdict: Verdict = Verdict.NO_PAPER
    marks: tuple[str, ...] = ()
    paper_mark: str = ""
    doubtful: bool = False
    rank: int = 0
    chance: float | None = None
    provenance: tuple[str, ...] = ()
    runs: int | None = None
    selector: tuple[str, str] = ("", "")
    command: str = ""
    note: str = ""
    audit: str = ""
    keys: tuple[tuple[str, str], ...] = ()

    @property
    def number(self) -> Number:
        """What tells a measured number from others."""
        return self.selector, self.provenance, round(self.value or 0.0, 6)

    @property
    def low(self) -> bool:
        """Whether a constant answer gets as much."""
        return self.value is not None and self.chance is not None and self.value <= self.chance + 1e-9

    @property
    def agree(self) -> bool:
        """Whether all seeds gave the same number: an interval of no width, which would read as certainty."""
        return self.seeds is not None and math.isclose(*self.seeds, abs_tol=1e-9)


@dataclass(frozen=True)
class Column:
    """A column of numbers, of one `attack` or of several. Neighbours with the same `group` share a spanning head."""

    label: str
    group: str = ""
    attack: str = ""


@dataclass(frozen=True)
class Row:
    """Labels on the left (one a head of the table) and the cells."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Footnote:
    """A mark and its text; the mark is empty for a general remark."""

    mark: str
    text: str


@dataclass(frozen=True)
class Table:
    """A table, ready to be laid out. `key` is unique in a report and safe as a file name and an anchor.

    `words` tell it from its namesakes: data, ratio, test split, recipe. `minor`: few readers need it, so it is folded.
    """

    key: str
    title: str
    caption: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    words: tuple[str, ...] = ()
    data: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    footnotes: tuple[Footnote, ...] = ()
    commands: tuple[str, ...] = ()
    minor: bool = False

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return [cell for row in self.rows for cell in row.cells]

    @property
    def heading(self) -> str:
        """`Table 5.2 · archive:mine · balanced test split · paper recipe`."""
        return " · ".join((self.title, *self.words))

    @property
    def base(self) -> str:
        """What it is a rendering of: `Table 5` for `Table 5.2`, `Overview` for `Overview 3`."""
        return "Overview" if self.is_overview else self.title.partition(".")[0]

    @property
    def is_overview(self) -> bool:
        """Whether it is one of ours beside the paper's."""
        return self.title.startswith("Overview")

    @property
    def measured(self) -> int:
        """How many numbers are there."""
        return sum(cell.value is not None for cell in self.cells)

    @property
    def spanners(self) -> list[tuple[str, int]]:
        """(group, how many columns it spans) from left to right; empty when no column has a group."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group and column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans if any(group for group, _ in spans) else []


@dataclass(frozen=True)
class Figure:
    """A figure: the drawn files by suffix (svg, pdf), or what is missing and the commands that produce it."""

    key: str
    title: str
    caption: str
    alt: str
    files: dict[str, bytes] = field(default_factory=dict)
    data: str = ""
    missing: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """As that of a table."""
        return " · ".join((self.title, *self.words))


@dataclass(frozen=True)
class Card:
    """What the page says first of a setting, ratio and network. `reduced`: how its runs fall short of their recipe."""

    key: str
    heading: str
    data: str
    sentences: tuple[str, ...]
    reduced: str
    flags: tuple[Footnote, ...]
    figure: Figure


@dataclass(frozen=True)
class CellPage:
    """Everything about one cell of the store: `facts` are (group, [(name, value)]), `counts` a table a test split."""

    id: str
    title: str
    seed: str
    status: str
    facts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    counts: tuple[CountTable, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class CountTable:
    """Counts of one cell and test split: classes (name, training images, n) by attack (label, correct, flags)."""

    split: str
    classes: tuple[tuple[str, int, int], ...]
    attacks: tuple[tuple[str, tuple[int, ...], str], ...]


@dataclass(frozen=True)
class Report:
    """All of it, in order. `standing`: of single numbers (`Cell.number`), how they stand beside the best.

    `refresh`: seconds after which a page that is still being written shows itself again; 0 for one that is finished.
    `notice`: what a page leaves out because it would be too much, and how to see it.
    """

    title: str
    origin: str
    interval: str
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    cells: tuple[CellPage, ...]
    problems: tuple[str, ...] = ()
    versions: str = ""
    heading: str = "The paper's tables"
    cards: tuple[Card, ...] = ()
    standing: Mapping[Number, str] = field(default_factory=dict)
    refresh: int = 0
    notice: str = ""

    @property
    def chapters(self) -> list[tuple[str, list[Table]]]:
        """(heading, tables) of a page: overviews, tables with numbers, and last those without any."""
        full = [table for table in self.tables if table.measured]
        parts = [
            ("Overview", [table for table in full if table.is_overview]),
            (self.heading, [table for table in full if not table.is_overview]),
            ("Not measured yet", [table for table in self.tables if not table.measured]),
        ]
        return [(heading, tables) for heading, tables in parts if tables]

    @cached_property
    def folded(self) -> frozenset[str]:
        """Keys of tables that a page shows closed: without a number, or with none that a table before it lacks.

        Tables of the paper's own settings come before the overviews, these before tables of other settings; of the
        overviews those of balanced accuracy.
        """
        own = [t for t in self.tables if not t.is_overview and "." not in t.title]
        overviews = [t for t in self.tables if t.is_overview]
        others = [t for t in self.tables if t not in own and t not in overviews]
        seen, folded = set[tuple[object, ...]](), set[str]()
        for table in (*own, *overviews, *others):
            numbers = {(c.provenance, c.selector, c.value) for c in table.cells if c.value is not None}
            if numbers <= seen or table.minor:
                folded.add(table.key)
            seen |= numbers
        return frozenset(folded)

    @property
    def contents(self) -> list[tuple[str, str]]:
        """(key, name) of the first measured rendering of every table."""
        found: dict[str, str] = {}
        for table in self.tables:
            if table.measured:
                found.setdefault(table.base, table.key)
        return [(key, name) for name, key in found.items()]

    @property
    def pictures(self) -> list[Figure]:
        """The figures, those that could be drawn first."""
        return sorted(self.figures, key=lambda figure: not figure.files)
