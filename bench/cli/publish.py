"""`bench publish`: a results folder small enough to commit or to send."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli._format import counted
from bench.cli._options import results_option


@click.command("publish")
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@results_option
@click.option("--replace", is_flag=True, help="Overwrite cells of TARGET that hold other counts.")
def command(target: Path, results: Path, replace: bool) -> int:
    """Copy every finished cell to TARGET: counts, bits, curves and provenance, without weights.

    A cell that `bench verify` finds wrong is named and left out; the sound ones are copied, and the exit code is 1.
    """
    from bench.errors import StoreError, UsageError
    from bench.judge.verify import verify
    from bench.store.publish import COPIED, KEPT, clashes, publish

    if results.resolve() == target.resolve():
        raise UsageError(f"{target} is the results folder itself; give another folder.")
    report = verify(results)
    wrong = [p for p in report.problems if p.file in ("", *KEPT)]  # what is not copied may be damaged
    skip = {p.cell for p in wrong} | set(report.busy)
    other = clashes(results, target, skip)
    if other and not replace:
        raise StoreError(
            f"{target} holds other counts of {other[0]}"
            f"{f' and {len(other) - 1} more cells' if len(other) > 1 else ''}; "
            "give --replace to overwrite them, or another folder."
        )
    counts = publish(results, target, skip)
    done, failed = (counts[status] for status in COPIED)
    under_way = counts.total() - done - failed + len(report.busy)
    for problem in wrong:
        click.echo(f"left out {problem.cell}: {problem.message}", err=True)
    parts = [f"{counted(done, 'finished cell')} copied to {target}"]
    parts += [f"{failed} failed, copied with the reason"] if failed else []
    parts += [f"{under_way} under way, left out"] if under_way else []
    parts += [f"{len({p.cell for p in wrong})} not sound, left out"] if wrong else []
    click.echo("; ".join(parts) + ".")
    if not done + failed:
        raise StoreError(f"{results} holds nothing that can be published; run `bench run` first.")
    return 1 if wrong else 0
