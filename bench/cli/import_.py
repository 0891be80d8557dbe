"""`bench import`: the cells of an archive of `bench export` into a results folder."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options.common import UserPath, results_option
from bench.cli.shown.format import counted


@click.command("import")
@click.argument("source", type=UserPath(path_type=Path, dir_okay=False, exists=True))
@results_option
def command(source: Path, results: Path) -> int:
    """Put the cells of the archive SOURCE into the results folder. Every file's hash is verified before it is written.

    Nothing that was measured is overwritten: a cell that is here already is left alone if it has all of it, completed
    if it lacks files or evaluations, and refused by name if its counts differ; the exit code is then 1. Tunings go on
    where their trials begin as those here do.
    """
    from bench.store.copies.exchange import unpack
    from bench.store.folders import open_root

    open_root(results, write=True)
    done = unpack(source, results)
    for cell, why in done.refused.items():
        click.echo(f"refused {cell}: {why}", err=True)
    parts = [f"{counted(len(done.new), 'cell')} imported into {results}"]
    parts += [f"{len(done.same)} here already"] if done.same else []
    parts += [counted(len(done.tunings), "tuning")] if done.tunings else []
    parts += [f"{len(done.refused)} refused"] if done.refused else []
    click.echo("; ".join(parts) + ".")
    return 1 if done.refused else 0
