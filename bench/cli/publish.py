"""`bench publish`: a results folder small enough to commit or to send."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli._options import results_option


@click.command("publish")
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@results_option
@click.option("--replace", is_flag=True, help="Overwrite cells of TARGET that hold other counts.")
def command(target: Path, results: Path, replace: bool) -> None:
    """Copy every finished cell to TARGET: counts, bits, curves and provenance, without weights."""
    from bench.errors import StoreError, UsageError
    from bench.store.publish import clashes, publish

    if not results.is_dir():
        raise StoreError(f"there is no results folder {results}; give one with --results.")
    if results.resolve() == target.resolve():
        raise UsageError(f"{target} is the results folder itself; give another folder.")
    other = clashes(results, target)
    if other and not replace:
        raise StoreError(
            f"{target} holds other counts of {other[0]}"
            f"{f' and {len(other) - 1} more cells' if len(other) > 1 else ''}; "
            "give --replace to overwrite them, or another folder."
        )
    click.echo(f"{publish(results, target)} cells are in {target}.")
