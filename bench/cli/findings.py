"""`bench findings`: what the measured numbers say, as one page with every number from the store."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli._options import UserPath


@click.command("findings")
@click.option("--results", type=UserPath(path_type=Path), help="Default: the measured store that comes with bench.")
@click.option("--output", type=UserPath(path_type=Path), help="Write the page there instead of printing it.")
def command(results: Path | None, output: Path | None) -> None:
    """Answer the paper's questions from a results folder, with intervals; unanswered ones name the command to run."""
    from bench.judge.reference import shipped
    from bench.reports.findings import findings
    from bench.store.folders import atomic_write

    page = findings(results or shipped("measured"))
    if output is None:
        click.echo(page, nl=False)
    else:
        atomic_write(output, page)
        click.echo(f"written to {output}.")
