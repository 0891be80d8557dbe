"""`bench report`: the tables and figures of a results folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import manuscript
from bench.cli.options.common import UserPath, comma_list, results_option
from bench.cli.options.manuscript import paper_options
from bench.config import TEST_SPLITS
from bench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from bench.reports.model import Report


@click.command()
@results_option
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT,...",
    help="html, latex, markdown, csv; several with commas or repeated.  [default: html; with --paper: latex,markdown]",
)
@click.option(
    "--tables", metavar="N,...", help="Tables to show: 1,5, table05, overview; `none` for none.  [default: all]"
)
@click.option("--figures", metavar="N,...", help="Figures to show: 1,2, fig1; `none` for none.  [default: all]")
@click.option(
    "--output",
    type=UserPath(path_type=Path, file_okay=False),
    default=Path("report"),
    show_default=True,
    help="Folder to write to.",
)
@click.option(
    "--interval",
    default="both",
    show_default=True,
    metavar="sampling|seeds|both",
    help="Which 95 % intervals to print: over test images, over training seeds.",
)
@click.option("--dataset", help="Show only this data set, in every table it can fill.")
@click.option("--test-split", type=click.Choice(TEST_SPLITS), help="Show only this test split.")
@click.option("--models", metavar="A,B", help="Only these networks.  [default: all]")
@click.option("--seeds", metavar="0,1", help="Only these seeds.  [default: all]")
@click.option(
    "--compare",
    nargs=2,
    type=UserPath(path_type=Path),
    metavar="A B",
    help="Show two results folders side by side, with paired differences, instead of --results.",
)
@click.option("--watch", is_flag=True, help="Write the page again as cells finish, until nothing runs any more.")
@click.option("--every", type=click.IntRange(min=1), default=20, show_default=True, help="Seconds, with --watch.")
@paper_options
def command(
    results: Path,
    formats: tuple[str, ...],
    tables: str | None,
    figures: str | None,
    output: Path,
    interval: str,
    dataset: str | None,
    test_split: str | None,
    models: str | None,
    seeds: str | None,
    compare: tuple[Path, Path] | None,
    watch: bool,
    every: int,
    paper: bool,
    **chosen: Any,
) -> int:
    """Render the tables and figures of a results folder beside the paper's numbers.

    Works from whatever is there: what is missing is shown as missing, with the command that measures it. Figures are
    drawn as SVG for html and markdown, as PDF for latex. The exit code is 1 when a file of the folder could not be
    read; the report is written without it. Of more than a thousand cells the page is a summary that says how to narrow
    it; tables.csv always holds every number.

    With --paper: one table for a manuscript, `paper.tex` (booktabs) and `paper.md`, with the methods, names and columns
    you choose and one line of settings.
    """
    from bench.reports import render
    from bench.reports.report import compare as side_by_side
    from bench.reports.report import make

    kinds = list(dict.fromkeys(f for text in formats for f in comma_list(text, "format")))
    known = ("latex", "markdown") if paper else tuple(render.FORMATS)
    for wrong in [f for f in kinds if f not in known]:
        raise UsageError(f"--format {wrong} is unknown{' with --paper' if paper else ''}. {did_you_mean(wrong, known)}")
    kinds = kinds or (list(known) if paper else ["html"])
    if paper:
        for name, text in (("models", models), ("seeds", seeds)):
            if text is not None:
                raise UsageError(f"--{name} does not narrow the table of --paper; leave one of them out.")
        return manuscript.write(results, output, kinds, dataset, test_split, chosen)
    manuscript.refuse(chosen)
    given = {"model": models, "seed": seeds} | {name: chosen[option] for option, name in manuscript.NARROW.items()}
    only = {name: comma_list(text, f"{name}s") for name, text in given.items() if text is not None}
    if only and compare:
        raise UsageError(f"--{next(iter(only))} narrows one results folder; leave out --compare.")
    if watch and compare:
        raise UsageError("--watch follows one results folder; leave out --compare.")
    shown = {"tables": _numbered(tables, "tables"), "figures": _numbered(figures, "figures")}

    def made(whole: bool) -> Report:
        if compare:
            return side_by_side(*compare, interval=interval, dataset=dataset, test_split=test_split)
        return make(
            results,
            interval=interval,
            dataset=dataset,
            test_split=test_split,
            suffixes=sorted({render.FIGURES[f] for f in kinds if f in render.FIGURES}),
            only=only,
            whole=whole,
            **shown,
        )

    def write(refresh: int = 0) -> tuple[Sequence[Path], Report]:
        page = replace(made(whole=kinds == ["csv"]), refresh=refresh)
        written = render.write(page, output, [kind for kind in kinds if not (page.notice and kind == "csv")])
        if page.notice and "csv" in kinds:
            written += render.write(made(whole=True), output, ["csv"])
        return written, page

    if watch:
        _follow(results, every, lambda: write(every))
    paths, report = write()
    for path in paths:
        click.echo(path)
    for problem in report.problems:
        click.echo(f"left out: {problem}", err=True)
    return 1 if report.problems else 0


def _follow(results: Path, every: int, write: Callable[[], tuple[Sequence[Path], Report]]) -> None:
    """Write whenever the counts of a cell changed, until twice in a row nothing runs any more, or by Ctrl-C."""
    from bench.store.status import overview

    before: object = None
    idle = 0
    try:
        while idle < 2:
            idle = 0 if overview(results).counts["running"] else idle + 1
            if idle < 2 and (now := _mark(results)) != before:
                paths, report = write()
                cells = f"{len(report.cells)} cell{'' if len(report.cells) == 1 else 's'}"
                click.echo(f"{time.strftime('%H:%M:%S')} {paths[0]}: {cells}", err=True)
                before = now
            if idle < 2:
                time.sleep(every)
    except KeyboardInterrupt:
        click.echo("no longer followed; the page is left as it is now.", err=True)


def _mark(results: Path) -> object:
    """Something that changes when the counts of a cell do."""
    return sorted((path.parent.name, path.stat().st_mtime_ns) for path in results.glob("*/per_class.csv"))


def _numbered(text: str | None, kind: str) -> list[str] | None:
    """`1,table05,overview` as registered names; None stays None, `none` is none."""
    from bench.registry import registry

    if text is None:
        return None
    prefix, digits = {"tables": ("table", 2), "figures": ("fig", 1)}[kind]
    words = [] if text.strip().lower() == "none" else comma_list(text, kind)
    # digits of any length stay text: what is no number of a table is no number at all
    names = [
        prefix + (word.lstrip("0") or "0").zfill(digits) if word.isascii() and word.isdecimal() else word
        for word in words
    ]
    known = registry(kind)
    for name in names:
        known.origin(name)
    return names
