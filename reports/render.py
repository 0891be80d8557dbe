"""A `Report` in four formats. Each renderer gets the same model and writes its files below one folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from bench.reports import text
from bench.reports.extracts.manuscript import Entry, Manuscript
from bench.reports.model import SIGNS, Cell, Report, Row, Table, Verdict
from bench.reports.paired import answer
from bench.reports.paired.pairing import BEST, TIED
from bench.store.folders import atomic_write
from bench.visible import visible

#: signs behind a number that was tested beside its rivals, and of one that a constant answer gets too
SHOWN = {BEST: "●", TIED: "○"}
LEGEND = (("●", "highest among comparable rows"), ("○", "not distinguishable from it on the same images and seeds"))
LOW, LOW_TEXT = "≤", "at or below a constant answer"
#: physical lines of one LaTeX float; longer tables are continued in the next
LATEX_LINES = 42

#: what a number of a table is of (`Cell.keys`), a column each
KEYS = ("dataset", "source", "test_split", "recipe", "reduced", "precision", "eps", "selection", "class_order",
        "benchmark", "method", "variant", "ir", "model", "attack", "metric", "class", "seeds")  # fmt: skip
CSV_COLUMNS = (
    "table", *KEYS, "value", "sampling_low", "sampling_high", "seeds_low", "seeds_high", "standing", "chance", "paper",
    "paper_standing", "paper_reason", "difference", "verdict", "rank", "marks", "cells", "command", "note", "title",
    "row", "group", "column",
)  # fmt: skip


def _environment(**options: Any) -> jinja2.Environment:
    loader = jinja2.FunctionLoader(
        lambda name: (files("bench.reports") / "templates" / name).read_text(encoding="utf-8")
    )
    made = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
        **options,
    )
    made.globals |= {
        "intervals": text.intervals,
        "difference": text.difference,
        "number": text.number,
        "sign": text.sign,
        "SIGNS": SIGNS,
        "Verdict": Verdict,
    }
    made.filters |= {"sign": text.sign}
    return made


def _shown(value: Any) -> Any:
    """What every expression of every template passes through: text of others cannot turn or hide its surroundings."""
    return visible(value) if type(value) is str else value


@cache
def html_environment() -> jinja2.Environment:
    """Templates of the page; everything is escaped unless a template says otherwise."""
    made = _environment(autoescape=True)
    made.globals |= {"asset": lambda name: (files("bench.reports") / "templates" / name).read_text(encoding="utf-8")}
    made.filters |= {"slug": text.slug, "uri": _uri}
    return made


@cache
def latex_environment() -> jinja2.Environment:
    r"""Templates of LaTeX with \BLOCK{}, \VAR{} and \#{} in place of braces; `|e` escapes."""
    made = _environment(
        block_start_string=r"\BLOCK{",
        block_end_string="}",
        variable_start_string=r"\VAR{",
        variable_end_string="}",
        comment_start_string=r"\#{",
        comment_end_string="}",
        autoescape=False,
    )
    made.filters |= {"e": text.latex, "tt": text.typewriter}
    made.globals |= {"spans": _spans}
    return made


@cache
def markdown_environment() -> jinja2.Environment:
    """Templates of Markdown; `|e` escapes."""
    made = _environment(autoescape=False)
    made.filters |= {"e": text.markdown, "code": text.code, "fence": text.fence}
    return made


def _uri(svg: bytes) -> str:
    import base64

    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def html(report: Report, folder: Path) -> list[Path]:
    """`report.html`: one file that needs no other."""
    path = folder / "report.html"
    template = html_environment().get_template("page.html.j2")
    atomic_write(path, template.render(report=report, by_strength=by_strength, stands=partial(stands, report)))
    return [path]


def by_strength(table: Table) -> Table:
    """The table with its attacks in the order in which they say most; one with spanning heads stays as it is."""
    if any(column.group or not column.attack for column in table.columns):
        return table
    order = sorted(range(len(table.columns)), key=lambda j: answer.strength(table.columns[j].attack))
    rows = tuple(replace(row, cells=tuple(row.cells[j] for j in order)) for row in table.rows)
    return replace(table, columns=tuple(table.columns[j] for j in order), rows=rows)


def stands(report: Report, cell: Cell) -> str:
    """How a number stands beside the best, as a word; empty where nothing was compared."""
    return "" if cell.value is None else report.standing.get(cell.number, "")


def mark(report: Report, cell: Cell) -> str:
    """The sign of `SHOWN` behind a number; empty where nothing was tested, and for all that is worse."""
    return SHOWN.get(stands(report, cell), "")


def legend(report: Report, table: Table) -> list[tuple[str, str]]:
    """(sign, text) of what marks numbers of this table."""
    signs = {mark(report, cell) for cell in table.cells}
    told = [(sign, words) for sign, words in LEGEND if sign in signs]
    return told + ([(LOW, LOW_TEXT)] if any(cell.low for cell in table.cells) else [])


def markdown(report: Report, folder: Path) -> list[Path]:
    """`report.md`."""
    path = folder / "report.md"
    marks = {"mark": partial(mark, report), "legend": partial(legend, report)}
    atomic_write(path, markdown_environment().get_template("report.md.j2").render(report=report, **marks))
    return [path]


def latex(report: Report, folder: Path) -> list[Path]:
    r"""`latex/report.tex`, and below it one file for `\input` a table; figures as PDF beside them."""
    environment, base, written = latex_environment(), folder / "latex", []
    template = environment.get_template("table.tex.j2")
    marks = {"mark": partial(mark, report), "legend": partial(legend, report)}
    for table in report.tables:
        path = base / f"{table.key}.tex"
        parts = list(_parts(table, report.interval))
        atomic_write(path, template.render(table=table, interval=report.interval, parts=parts, **marks))
        written.append(path)
    for figure in report.figures:
        if "pdf" in figure.files:
            atomic_write(base / f"{figure.key}.pdf", figure.files["pdf"])
    atomic_write(base / "report.tex", environment.get_template("report.tex.j2").render(report=report))
    return [base / "report.tex", *written]


def _spans(row: Row, interval: str) -> list[list[str]]:
    """The lines of intervals below a row: one list of texts, a cell each, for each kind that any cell has."""
    found = [dict(text.intervals(cell, interval)) for cell in row.cells]
    kinds = dict.fromkeys(kind for spans in found for kind in spans)
    return [[spans.get(kind, "") for spans in found] for kind in kinds]


def _parts(table: Table, interval: str) -> Iterator[tuple[Row, ...]]:
    """The rows, cut so that each part fits a page."""
    part: list[Row] = []
    height = 0
    for row in table.rows:
        lines = 1 + len(_spans(row, interval))
        lines += any(c.paper is not None for c in row.cells)
        if part and height + lines > LATEX_LINES:
            yield tuple(part)
            part, height = [], 0
        part.append(row)
        height += lines
    yield tuple(part)


def csv_(report: Report, folder: Path) -> list[Path]:
    """`tables.csv`: one line a number of every table, a column a key; last what the table prints beside it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in report.tables:
        for row in table.rows:
            label = ", ".join(f"{h}={v}" for h, v in zip(table.heads, row.labels, strict=True))
            for column, cell in zip(table.columns, row.cells, strict=True):
                keys = dict(cell.keys)
                words = (table.key, *(keys.get(name, "") for name in KEYS))
                printed = (f"{table.heading}. {table.caption}", label, column.group, column.label)
                writer.writerow(
                    [*map(text.spreadsheet, words), *_numbers(report, cell), *map(text.spreadsheet, printed)]
                )
    path = folder / "tables.csv"
    atomic_write(path, buffer.getvalue())
    return [path]


def _numbers(report: Report, cell: Cell) -> list[str]:
    """The cell's fields for CSV: the same digits as everywhere, with an ASCII minus and empty for unknown."""

    def plain(value: float | None) -> str:
        return "" if value is None else text.number(value).replace("−", "-")

    intervals = (cell.sampling, None if cell.agree else cell.seeds)
    low_high = [plain(end) for interval in intervals for end in (interval or (None, None))]
    paper = ["", "", ""] if cell.paper is None else [cell.paper.printed, cell.paper.standing, cell.paper.reason]
    words = map(text.spreadsheet, (cell.command, "; ".join(filter(None, (cell.note, cell.audit)))))
    return [plain(cell.value), *low_high, stands(report, cell), plain(cell.chance), *paper, plain(cell.difference),
            str(cell.verdict), str(cell.rank or ""), " ".join(map(text.sign, cell.marks)), " ".join(cell.provenance),
            *words]  # fmt: skip


#: sizes of a manuscript's table: command, points a letter (digits and bold text, about), points between columns
LATEX_SIZES = (
    (r"\small", 4.8, 5.0),
    (r"\footnotesize", 4.3, 3.0),
    (r"\scriptsize", 3.8, 2.0),
    (r"\tiny", 3.2, 1.5),
)
#: text width of LaTeX's own article class, in points
LATEX_WIDTH = 345.0


def _size(table: Manuscript) -> tuple[str, float]:
    """The largest size in which a table fits the page: (command, points between columns)."""
    labels = sum(max((len(labels[i]) for labels, _ in table.rows), default=0) for i in range(len(table.heads)))
    widths = [
        max(len(head), *(_letters(cells[j]) for _, cells in table.rows)) if table.rows else len(head)
        for j, head in enumerate(table.columns)
    ]
    gaps = 2 * (len(widths) + len(table.heads) - 1)
    fits = (
        (command, gap)
        for command, letter, gap in LATEX_SIZES
        if letter * (labels + sum(widths)) + gap * gaps <= LATEX_WIDTH
    )
    return next(fits, (LATEX_SIZES[-1][0], LATEX_SIZES[-1][2]))


def _letters(one: Entry) -> float:
    """About how many letters an entry is wide."""
    return len(one.value) + (len(one.spread) + 2.5 if one.spread else 0) + len(one.marks)


def manuscript(table: Manuscript, folder: Path, formats: list[str], label: str = "results") -> list[Path]:
    r"""`paper.tex` (one table for `\input`, booktabs) and `paper.md` of a manuscript's table; the files, in order."""
    written = []
    for name, environment in (("latex", latex_environment), ("markdown", markdown_environment)):
        suffix = {"latex": "tex", "markdown": "md"}[name]
        if name in formats:
            template = environment().get_template(f"manuscript.{suffix}.j2")
            atomic_write(folder / f"paper.{suffix}", template.render(table=table, label=label, size=_size(table)))
            written.append(folder / f"paper.{suffix}")
    return written


#: format -> writer of its files
FORMATS: dict[str, Callable[[Report, Path], list[Path]]] = {
    "html": html,
    "latex": latex,
    "markdown": markdown,
    "csv": csv_,
}

#: format -> the kind of figure files it shows
FIGURES = {"html": "svg", "markdown": "svg", "latex": "pdf"}


def write(report: Report, folder: Path, formats: list[str]) -> list[Path]:
    """Write a report in these formats, figures as SVG and PDF with them; returns the main file of each format."""
    for figure in report.figures:
        for suffix, body in figure.files.items():
            atomic_write(folder / "figures" / f"{figure.key}.{suffix}", body)
    return [FORMATS[name](report, folder)[0] for name in formats]
