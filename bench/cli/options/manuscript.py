"""Options of `bench report --paper`, the table for a manuscript; they mean nothing without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli.options.common import comma_list, text_option
from bench.errors import UsageError

OPTIONS = (
    click.option("--paper", is_flag=True, help="Write one table for a manuscript instead, as LaTeX and Markdown."),
    text_option("--methods", metavar="A,B", help="Only these methods; with --paper in this order.  [default: all]"),
    click.option("--label", "labels", multiple=True, metavar="METHOD=NAME",
                 help="With --paper: what a method is called."),
    text_option("--columns", metavar="A,B", help="With --paper: attacks.  [default: clean, pgd-20, aa]"),
    text_option("--metric", metavar="NAME", help="With --paper: balanced, standard, head, tail, "
                 "tail-80, worst-class or prior-R."),
    text_option("--spread", metavar="std|images|seeds|none", help="With --paper: behind ±: standard deviation over "
                 "seeds, the farther end of the 95 % interval over test images or over seeds.  [default: std]"),
    text_option("--best", metavar="tested|highest|none", help="With --paper: bold is the highest mean and what is "
                 "not worse by a test, the highest mean alone, or nothing.  [default: tested]"),
    click.option("--decimals", type=click.IntRange(0, 4), help="With --paper: digits behind the point.  [default: 2]"),
    text_option("--irs", metavar="10,50", help="Only these ratios; with --paper in this order.  [default: all]"),
    text_option("--recipe", metavar="NAME", help="Only this recipe.  [default: all; with --paper: paper]"),
)  # fmt: skip
NAMES = ("labels", "columns", "metric", "spread", "best", "decimals")
#: those that narrow a whole report too, with the coordinate that they are of
NARROW = {"methods": "method", "irs": "ir", "recipe": "recipe"}


def paper_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options of this module."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def refuse(given: dict[str, Any]) -> None:
    """Raises UsageError when one of these was given without --paper."""
    for name in NAMES:
        if given[name] not in (None, ()):
            raise UsageError(f"--{name.removesuffix('s') if name == 'labels' else name} belongs to --paper; add it.")


def write(
    results: Path,
    output: Path,
    formats: Sequence[str],
    dataset: str | None,
    test_split: str | None,
    given: dict[str, Any],
) -> int:
    """Write the table; what it lacks is said on standard error. Returns the exit code."""
    from bench.reports import render
    from bench.reports.extracts.choice import Choice
    from bench.reports.extracts.manuscript import manuscript, named
    from bench.reports.source import Source

    source = Source(results)
    methods = list(dict.fromkeys(c.label for setting in source.index for c in source.configs(setting)))
    lists: dict[str, Any] = {
        name: comma_list(given[name], name) if given[name] is not None else () for name in ("methods", "columns", "irs")
    }
    plain: dict[str, Any] = {
        name: given[name] for name in ("metric", "spread", "best", "decimals") if given[name] is not None
    }
    choice = Choice(
        **lists,
        **plain,
        labels=named(given["labels"], methods or ["taet"]),
        recipe=given["recipe"] or "",
        datasets=() if dataset is None else comma_list(dataset, "dataset"),
        test_split=test_split or "",
    )
    table = manuscript(source, choice)
    for path in render.manuscript(table, output, list(formats)):
        click.echo(path)
    for lack in table.missing:
        click.echo(f"missing: {lack}", err=True)
    for problem in source.problems:
        click.echo(f"left out: {problem}", err=True)
    return 1 if source.problems else 0
