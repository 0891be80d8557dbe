"""`bench findings`: what the measured numbers say, as one page with every number from the store."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options.common import UserPath

#: stores that come with the project, where none is named; a checkout may lack one
STORES = ("study", "breadth", "search", "measured")


@click.command("findings")
@click.option(
    "--results",
    type=UserPath(path_type=Path),
    multiple=True,
    help="A results folder; may be given several times. Default: the measured stores that come with bench.",
)
@click.option(
    "--output",
    type=UserPath(path_type=Path),
    help="Write the page there, its drawings into pictures/ beside it; without, the page alone is printed.",
)
def command(results: tuple[Path, ...], output: Path | None) -> None:
    """Answer the paper's questions from results folders, with intervals; unanswered ones name the command to run.

    The largest scale of all folders opens the page, smaller ones follow below a fold.
    """
    from bench.judge.reference import shipped
    from bench.reports.findings import DRAWINGS, findings
    from bench.store.folders import atomic_write

    own = [root for root in map(shipped, STORES) if root.is_dir()]
    page = findings(*(results or own))
    if output is None:
        click.echo(page.text, nl=False)
        return
    atomic_write(output, page.text)
    for name in DRAWINGS:
        if name in page.pictures:
            atomic_write(output.parent / name, page.pictures[name])
        else:  # of a page that was there before
            (output.parent / name).unlink(missing_ok=True)
    click.echo(f"written to {output}, with {len(page.pictures)} drawings.")
