"""`bench publish`: a results folder small enough to commit or to send; with `--to`, one network with its model card."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options.common import data_root_option, results_option
from bench.cli.shown.format import counted
from bench.paths import in_full


@click.command("publish")
@click.argument("target", metavar="TARGET|CELL")
@results_option
@data_root_option
@click.option("--to", "place", metavar="hf:OWNER/NAME|FOLDER", help="Publish the network of CELL there.")
@click.option("--licence", default="", metavar="NAME", help="With --to: the licence of the weights, such as mit.")
@click.option("--replace", is_flag=True, help="Overwrite other results of these cells there, or outdate older cells.")
def command(target: str, results: Path, data_root: Path | None, place: str | None, licence: str, replace: bool) -> int:
    """Copy every finished cell to TARGET: counts, bits, curves and provenance, without weights.

    What a cell has more than its copy in TARGET is added; where anything there would be lost, nothing is written. A
    cell that `bench verify` finds wrong is named and left out; the sound ones are copied, and the exit code is 1.

    With --to, the network of one CELL (a beginning or end of its id) is published instead: weights as safetensors, a
    manifest with sizes and hashes, its counts, and a model card. `bench evaluate` reads it back from there.
    """
    if place:
        return _network(target, results, data_root, place, licence)
    return _store(in_full(target), results, replace)


def _network(cell: str, results: Path, data_root: Path | None, place: str, licence: str) -> int:
    from bench.errors import StoreError
    from bench.hub.bundle import build, write
    from bench.hub.card import card
    from bench.hub.hub import PREFIX, parse, upload
    from bench.judge.verify import verify
    from bench.plugins import dataset_facts
    from bench.store.folders import read_record
    from bench.store.query import find

    if place.startswith(PREFIX):
        parse(place)
    folder = find(results, cell)
    for problem in verify(results).problems:
        if problem.cell == folder.name:
            raise StoreError(f"{folder.name} is not sound: {problem.message}")
    spec = read_record(folder).made
    channels, height, width = dataset_facts(spec.dataset, data_root).image
    side = spec.recipe.resize
    files = build(folder, (channels, side or height, side or width), card(folder, licence))
    stays = [] if place.startswith(PREFIX) else write(files, Path(place))
    if place.startswith(PREFIX):
        place = upload(files, place, f"{folder.name} by bench publish")
    for name in stays:
        click.echo(f"{name} of {place} is not as it was published, so it stays; remove it to get a new one.", err=True)
    click.echo(f"{folder.name} published, {sum(map(len, files.values())) / 2**20:.1f} MiB; bench evaluate {place}")
    return 0


def _store(target: Path, results: Path, replace: bool) -> int:
    from bench.errors import StoreError, UsageError
    from bench.judge.verify import verify
    from bench.store.copies.publish import COPIED, KEPT, clashes, outdated, publish

    if results.resolve() == target.resolve():
        raise UsageError(f"{target} is the results folder itself; give another folder.")
    report = verify(results)
    wrong = [p for p in report.problems if p.file in ("", *KEPT)]  # what is not copied may be damaged
    skip = {p.cell for p in wrong} | set(report.busy)
    other = clashes(results, target, skip)
    if other and not replace:
        first, what = next(iter(other.items()))
        more = f", and of {len(other) - 1} more" if len(other) > 1 else ""
        raise StoreError(
            f"{target} holds results of {first} that these lack or have otherwise ({what}){more}; "
            "give --replace to overwrite them, or another folder."
        )
    if (older := outdated(results, target, skip)) and not replace:
        more = f" and {len(older) - 1} more cells" if len(older) > 1 else ""
        raise StoreError(
            f"beside these, made by newer code, {older[0]}{more} "
            f"of {target} would be left out as stale; give another folder, or --replace to let them be."
        )
    made = publish(results, target, skip, replace=replace)
    done, failed = (made.counts[status] for status in COPIED)
    under_way = made.counts.total() - done - failed + len(report.busy)
    for problem in wrong:
        click.echo(f"left out {problem.cell}: {problem.message}", err=True)
    for sentence in made.left:
        click.echo(f"left out: {sentence}", err=True)
    parts = [f"{counted(done, 'finished cell')} copied to {target}"]
    parts += [f"{failed} failed, copied with the reason"] if failed else []
    parts += [f"{under_way} under way, left out"] if under_way else []
    parts += [f"{len({p.cell for p in wrong})} not sound, left out"] if wrong else []
    click.echo("; ".join(parts) + ".")
    if not done + failed:
        raise StoreError(f"{results} holds nothing that can be published; run `bench run` first.")
    return 1 if wrong or made.left else 0
