"""`bench tune`: search a method's settings on held-out training images; the test split stays unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options.common import (
    data_root_option,
    device_option,
    json_option,
    quiet_option,
    results_option,
    sink_option,
    text_option,
)
from bench.cli.shown.format import counted
from bench.cli.shown.stream import tell
from bench.config import PRECISIONS
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.store.parts.tunings import Trial, Tuning
    from bench.tune.search import Search


@click.command("tune")
@click.argument("method", metavar="METHOD[x=1]+ENHANCER")
@text_option("--dataset", required=True, help="The data set, whose training images are searched on.")
@text_option("--ir", default="10", show_default=True, help="Imbalance ratio above 1, or `natural`.")
@text_option("--model", metavar="NAME", help="The network. Default: the data set's own.")
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="How many trials in all.")
@text_option("--over", metavar="A,B=1:10:log,C=x|y", help="Settings to search, and where. Default: the method's own.")
@click.option("--validation", type=float, default=0.1, show_default=True, help="Share of each class held out.")
@text_option(
    "--objective",
    default="pgd-20",
    show_default=True,
    metavar="ATTACK",
    help="Balanced accuracy under it on what is held out, after every epoch: pgd-20, aa-audited, ...",
)
@click.option("--prune/--no-prune", default=True, show_default=True, help="Give hopeless trials up.")
@text_option("--recipe", default="paper", show_default=True, metavar="paper|official", help="Training settings.")
@click.option("--epochs", type=int, help="Shorten every trial.")
@click.option("--limit", type=int, metavar="N", help="At most N images a class.")
@text_option("--selection", default="seeded", show_default=True, help="Which images are chosen.")
@text_option("--class-order", default="natural", show_default=True, help="Which classes are the tail.")
@text_option("--precision", default="fp32", show_default=True, metavar="|".join(PRECISIONS), help="Of training.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of training, split and search.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@data_root_option
@results_option
@device_option
@sink_option
@quiet_option
@json_option
def command(
    method: str,
    dataset: str,
    ir: str,
    model: str | None,
    trials: int,
    over: str | None,
    validation: float,
    objective: str,
    prune: bool,
    recipe: str,
    epochs: int | None,
    limit: int | None,
    selection: str,
    class_order: str,
    precision: str,
    seed: int,
    threads: int,
    data_root: Path | None,
    results: Path,
    device: str,
    sinks: tuple[str, ...],
    quiet: bool,
    machine: bool,
) -> int:
    """Try settings of METHOD on training images that are held out, and say which was best and what makes its row.

    Every trial is a cell of its own in the results folder, trained without the held-out images and judged on them after
    every epoch. No test image is attacked. A tuning that was stopped goes on with the same command; with more --trials
    it is continued. Trials follow from those before them, so they run one after another. Reports then say which rows
    were tuned, with how many trials. Settings that METHOD fixes are not searched; those of an enhancer are written
    `ema.tau`.
    """
    from contextlib import closing

    from bench.cli.options.sinks import Sinks
    from bench.engine.grid import Axes
    from bench.engine.host import stop
    from bench.engine.host.device import resolve_device
    from bench.engine.life.settings import Settings
    from bench.store.folders import open_root
    from bench.tune.search import Search

    axes = Axes(
        (method,),
        (dataset,),
        (ir,),
        () if model is None else (model,),
        (seed,),
        ("clean",),
        (recipe,),
        epochs=epochs,
        limit=limit,
        selection=selection,
        class_order=class_order,
        precision=precision,
    )
    search = Search(
        method, axes, validation=validation, objective=objective, over=over, prune=prune, data_root=data_root
    )
    open_root(results, write=True)
    settings = Settings(results=results, data_root=data_root, device=resolve_device(device), threads=threads)
    if not quiet:
        tell(f"searching {', '.join(search.study.space)}")
    stop.listen()
    with closing(Sinks(sinks, (), results)) as told:
        listener = told.beside(_heard(quiet))
        tuning = search.go(
            trials, settings, listener, lambda n, trial: _told(n, trial, trials, quiet), begun=told.expect
        )
    if tuning.best is None:
        last = next((trial.message for trial in reversed(tuning.trials) if trial.message), "")
        raise BenchError(f"none of {counted(len(tuning.trials), 'trial')} was finished: {last}")
    if machine:
        click.echo(json.dumps(plain(search, tuning), indent=1))
    elif not quiet:
        click.echo("\n".join(summary(search, tuning)))
    return 0


def _heard(quiet: bool) -> Any:
    """What is said of a cell under way: only what is no progress."""

    def listen(event: dict[str, Any]) -> None:
        if event["event"] in ("aside", "note") and not quiet:
            tell(f"{event['cell']}: {event['message']}")

    return listen


def _told(number: int, trial: Trial, trials: int, quiet: bool) -> None:
    if not quiet:
        tell(f"[{number + 1}/{trials}] {written(trial)}: {outcome(trial)}")


def written(trial: Trial) -> str:
    """`beta=4.21, lr=0.05`."""
    from bench.config import format_value

    return ", ".join(f"{name}={format_value(value)}" for name, value in trial.settings.items())


def outcome(trial: Trial) -> str:
    """How a trial ended, in words."""
    if trial.state == "failed":
        return f"failed: {trial.message}"
    if trial.state == "pruned":
        return f"given up after {counted(len(trial.curve), 'epoch')} at {100 * trial.curve[-1]:.1f}"
    return f"{100 * max(trial.curve):.1f} after epoch {trial.curve.index(max(trial.curve)) + 1}"


def summary(search: Search, tuning: Tuning) -> list[str]:
    """The last lines: the best trial, and what to type next."""
    best, first = tuning.best, tuning.trials[0]
    assert best is not None
    ends = f"{tuning.count('pruned')} given up, {tuning.count('failed')} failed"
    study = tuning.study
    lines = [
        f"best of {counted(len(tuning.trials), 'trial')} ({ends}): {best.label}",
        f"balanced accuracy under {study.objective} on the held-out images (validation {study.validation:g}): "
        f"{100 * (best.value or 0):.1f}",
    ]
    if first.value is not None and first is not best:
        lines.append(f"the first trial, {first.label}: {100 * first.value:.1f}")
    return [*lines, "", f"Next: {search.command(best.settings)}"]


def plain(search: Search, tuning: Tuning) -> dict[str, Any]:
    """The tuning for a program."""
    import msgspec

    best = tuning.best
    assert best is not None
    told: dict[str, Any] = msgspec.to_builtins(tuning)
    return told | {"best": msgspec.to_builtins(best), "next": search.command(best.settings)}
