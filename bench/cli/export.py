"""`bench export`: cells as one file that travels to another machine."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options.common import UserPath, results_option
from bench.cli.shown.format import counted


@click.command("export")
@click.argument("target", type=UserPath(path_type=Path, dir_okay=False))
@click.argument("cells", nargs=-1)
@results_option
@click.option("--weights", is_flag=True, help="Checkpoints too, so that attacks can be added elsewhere.")
def command(target: Path, cells: tuple[str, ...], results: Path, weights: bool) -> int:
    """Pack CELLS (ids, or their beginnings; none for all) with a hash of every file into the archive TARGET.

    A cell that `bench verify` finds wrong, or that a process works on, is named and left out; the exit code is then 1.
    What is known of tunings goes along: all of it, or of those with a trial among CELLS.
    """
    from bench.judge.verify import verify
    from bench.store.copies.exchange import pack
    from bench.store.parts.tunings import path_of, tunings
    from bench.store.query import find, folders

    chosen = [find(results, prefix) for prefix in cells] if cells else folders(results)
    report = verify(results)
    wrong = {p.cell: p.message for p in report.problems} | dict.fromkeys(report.busy, "a process works on it")
    left_out = {folder.name: wrong[folder.name] for folder in chosen if folder.name in wrong}
    for cell, why in left_out.items():
        click.echo(f"left out {cell}: {why}", err=True)
    known, problems = tunings(results)
    for problem in problems:
        click.echo(f"left out: {problem}", err=True)
    packed = [folder for folder in chosen if folder.name not in left_out]
    names = {folder.name for folder in packed}
    told = [path_of(results, t.study) for t in known if not cells or any(trial.cell in names for trial in t.trials)]
    count = pack(packed, target, weights=weights, tunings=filter(Path.is_file, told))
    size = target.stat().st_size / 2**20
    click.echo(f"{counted(count, 'cell')} in {target}, {size:.1f} MiB; there: `bench import {target.name}`.")
    return 1 if left_out or problems else 0
