"""`bench run`: train and attack a grid of cells; what is done already is not done again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options.axes import axes_options
from bench.cli.options.common import json_option, quiet_option, sink_option, text_option
from bench.cli.options.grid import Priced, left_out, price
from bench.cli.options.placement import Placement, placement_options
from bench.cli.shown import score_table
from bench.cli.shown.format import counted, seconds
from bench.cli.shown.stream import tell
from bench.errors import BenchError, SpentError, UsageError

if TYPE_CHECKING:
    from bench.cli.options.sinks import Sinks
    from bench.config import Task
    from bench.engine.life.settings import Settings
    from bench.engine.plan import Work
    from bench.engine.price.cost import Cost
    from bench.engine.price.large import Large

#: passes of one image, or arithmetic (an hour of one core at 30 GFLOP/s), that are many where no rate is known
MANY_PASSES, MANY_GFLOP = 100e6, 1e5


@click.command("run")
@axes_options
@placement_options
@text_option("--shard", metavar="I/N", help="Only the I-th of N parts of the grid: 1/2 here and 2/2 elsewhere.")
@click.option(
    "--retry",
    type=click.Choice(("all", "failed", "none")),
    default="all",
    show_default=True,
    help="What to do with cells that failed before: try them again with the rest, try only them, or leave them alone.",
)
@sink_option
@text_option("--cell-limit", metavar="2h", help="Time a cell may take in one run; then it fails, and can go on.")
@text_option("--run-limit", metavar="8h", help="Time the run may take; then it stops, and the same command goes on.")
@click.option("--dry-run", is_flag=True, help="Print the cells, what is done, and the estimated cost; run nothing.")
@click.option("--retrain", is_flag=True, help="Begin stale cells anew: made from other code or data than there is now.")
@click.option("--yes", is_flag=True, help="Do not ask before a run of more than an hour.")
@quiet_option
@json_option
def command(
    preset: str | None,
    data_root: Path | None,
    results: Path,
    device: str,
    dry_run: bool,
    retrain: bool,
    yes: bool,
    place: str,
    jobs: str,
    threads: int,
    workers: int,
    slurm: tuple[str, ...],
    setup: tuple[str, ...],
    ray: str,
    detach: bool,
    shard: str | None,
    retry: str,
    sinks: tuple[str, ...],
    cell_limit: str | None,
    run_limit: str | None,
    quiet: bool,
    machine: bool,
    **axes: Any,
) -> int:
    """Fill a grid: methods x data sets x imbalance ratios x models x seeds, each trained once and attacked.

    Finished cells are kept, interrupted ones go on from their last checkpoint, and a failed cell never stops the
    others. A cell that another process is computing is left to it. The exit code is 1 when a cell failed or is stale,
    or a data set cannot be used.

    At the end the balanced accuracy of every cell of the grid stands in a table, with the farther end of its 95 %
    interval.
    """
    from bench.cli.options.sinks import Sinks
    from bench.cli.shown.dry import warnings
    from bench.engine.host import stop
    from bench.engine.life.settings import Settings
    from bench.store.folders import open_root

    placement = Placement(place, jobs, threads, workers, slurm, setup, ray, detach)
    limit, spend = (None if text is None else seconds(text) for text in (cell_limit, run_limit))
    if spend is not None and place != "local":
        raise UsageError(
            f"--run-limit ends a run of this machine; with --on {place} limit the workers (--slurm time=)."
        )
    if sinks and detach:
        raise UsageError("--sink listens to a run, and --detach leaves it; leave one of them out.")
    grid = price(preset, data_root, results, device, axes, retrain, shard)
    if dry_run:
        from bench.cli.shown.dry import show

        show(grid, results, data_root, _large(grid.works, results, data_root, device, placement))
        if script := placement.script(results):
            click.echo(f"\nThe script of the workers that would be submitted:\n\n{script}")
        return 1 if grid.refused else 0
    works = [work for work in grid.works if _wanted(work, retry)]
    stale = [work for work in works if work.stale and not retrain]
    for work in stale:
        tell(work.stale)
    todo, refused = _with_images([work.task for work in works if work not in stale], data_root)
    bad = 1 if stale or refused or grid.refused else 0
    if not todo:
        _idle(grid, retry, results, bad, quiet, machine)
        return bad
    chosen = {task.spec.id for task in todo}
    mine = [work for work in works if work.task.spec.id in chosen]
    for line in warnings(_large(mine, results, data_root, device, placement)):
        tell(line)
    open_root(results, write=True)
    if not yes:
        _confirm(grid.cost, spend)
    if axes["init"] is not None:
        from bench.engine.life.before import keep

        keep(axes["init"], results)
    settings = Settings(
        results=results,
        data_root=data_root,
        device=placement.device(device),
        threads=threads,
        retrain=retrain,
        cell_seconds=limit,
    )
    aside = {work.task.spec.id for work in grid.works} - chosen
    tasks = [task for task in grid.tasks if task.spec.id not in aside]
    told = Sinks(sinks, todo, results)
    with stop.within(spend, SpentError):
        return _run(tasks, todo, settings, placement, grid.cost, told, quiet, machine) or bad


def _large(works: list[Work], results: Path, data_root: Path | None, device: str, placement: Placement) -> list[Large]:
    """Networks too large for this device; nothing where the cells run elsewhere."""
    from bench.engine.price.large import too_large

    return too_large(works, results, data_root, device) if placement.place == "local" else []


def _wanted(work: Work, retry: str) -> bool:
    """Whether a cell that is not finished is to be worked on, by what is said of those that failed before."""
    return retry == "all" or (retry == "failed") == work.failed


def _idle(grid: Priced, retry: str, results: Path, bad: int, quiet: bool, machine: bool) -> None:
    """Say that there is nothing to do, and show the numbers of what is done."""
    if results.is_dir():
        from bench.engine.executors import share

        share.clear(results)  # a run that was killed at its very end left what it would have cleared away
    if not bad and not quiet and not machine:
        click.echo(_nothing(grid, retry, results))
    score_table.show(
        results,
        {task.spec.id for task in grid.tasks},
        machine=machine,
        quiet=quiet or bool(bad),
        cells=[],
        counts={"done": 0, "failed": 0, "done_before": len(grid.tasks) - len(grid.works), "elsewhere": 0},
    )


def _nothing(grid: Priced, retry: str, results: Path) -> str:
    """What is said when there is nothing to do."""
    if not grid.tasks:
        return "no cell of the grid is in this part of it (--shard): nothing to do."
    if not grid.works:
        return f"all {len(grid.tasks)} cells are done; results are in {results}."
    others = {"failed": "no cell failed", "none": "every cell that is not done failed before"}[retry]
    return f"{others}: nothing to do with --retry {retry}; {len(grid.works)} of {len(grid.tasks)} cells are not done."


def _with_images(tasks: list[Task], data_root: Path | None) -> tuple[list[Task], bool]:
    """(those whose images can be had, whether there are others): every data set is read once before anything starts."""
    from bench.engine.images.usable import without_images

    lacking = without_images([task.spec for task in tasks], data_root)
    reasons: dict[str, str] = {}
    for why, specs in lacking.items():
        name = specs[0].dataset
        reasons[name] = f"{reasons[name]} {why}" if name in reasons else f"{counted(len(specs), 'cell')}: {why}"
    gone = {spec.id for specs in lacking.values() for spec in specs}
    left = [task for task in tasks if task.spec.id not in gone]
    left_out(reasons, bool(left))
    return left, bool(lacking)


def _confirm(cost: Cost, limit: float | None) -> None:
    """Ask a person before a run of more than an hour, also where only passes and arithmetic say so."""
    import sys

    from bench.cli.shown.format import count, duration

    passes = cost.forward + cost.backward
    few = passes < MANY_PASSES and cost.gflop < MANY_GFLOP
    short = few if cost.seconds is None else cost.seconds <= 3600
    if not sys.stdin.isatty() or short or (limit is not None and limit <= 3600):
        return
    known = f"this takes about {duration(cost.seconds)}"
    unknown = f"nobody has measured how long this takes here, and {count(passes)} passes of one image are many"
    click.confirm(f"{unknown if cost.seconds is None else known}; go on?", abort=True)


def _run(
    tasks: list[Task],
    todo: list[Task],
    settings: Settings,
    placement: Placement,
    cost: Cost,
    sinks: Sinks,
    quiet: bool,
    machine: bool,
) -> int:
    from bench.cli.shown.progress import Progress
    from bench.engine.executors import share
    from bench.engine.host import stop

    results = settings.results
    executor = placement.executor(settings.device, cost.memory_mib)
    stop.listen()
    share.write(tasks, settings)
    with (
        Progress(todo, len(tasks) - len(todo), results, quiet=quiet, expected=cost.seconds) as progress,
        closing(sinks),
    ):
        listener = sinks.beside(progress.on_event)
        executor.run(todo, settings, listener)
        if placement.detach:
            click.echo(f"{placement.workers} workers submitted; follow them with `bench status --results {results}`.")
            return 0
        # once more while that ends some of them: another process may have ended, a cell that others go on from be made
        left, before = progress.ended("elsewhere"), list[str]()
        while left and left != before:
            executor.run([t for t in todo if t.spec.id in left], settings, listener)
            left, before = progress.ended("elsewhere"), left
    share.clear(results)
    failed = progress.ended("failed")
    if not quiet and not machine:
        click.echo("\n".join(progress.summary()))
    score_table.show(
        results,
        {t.spec.id for t in tasks},
        machine=machine,
        quiet=quiet,
        cells=[*progress.ends.values()],
        counts=progress.counts(),
    )
    if len(failed) == len(todo) == 1:
        event = progress.ends[failed[0]]
        raise BenchError(f"{failed[0]} failed in {event['stage']}: {event['message']}")
    if lost := len(todo) - len(progress.ends):
        raise BenchError(
            f"{lost} cells never ended; run the same command again, and report this as a mistake of bench."
        )
    return 1 if failed else 0
