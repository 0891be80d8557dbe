"""`bench evaluate`: a network trained elsewhere through the same attacks and into the same tables."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli._options import comma_list, data_root_option, device_option, results_option
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.config import Task


@click.command("evaluate")
@click.argument("source", metavar="CHECKPOINT|PACKAGE.MODULE:FACTORY")
@click.option("--datasets", required=True, metavar="A,B", help="Data sets to attack it on.")
@click.option("--attacks", default="clean,fgsm,pgd-20,aa", show_default=True, metavar="A,B", help="Attacks.")
@click.option("--irs", default="10", show_default=True, metavar="10,50", help="Imbalance ratio of the test split.")
@click.option("--test-split", "splits", default="long-tailed", show_default=True, metavar="long-tailed|balanced")
@click.option("--model", metavar="NAME", help="Architecture of a checkpoint. Default: the data set's own.")
@click.option("--name", metavar="WORD", help="Its name in the tables. Default: from the file or factory.")
@click.option("--weights", type=click.Path(path_type=Path), help="Weights for a factory's network.")
@click.option("--normalize", metavar="MEANS/STDS", help="Normalisation the network expects, a number a channel.")
@click.option("--ranked", is_flag=True, help="Its outputs are in this benchmark's class order, largest class first.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the attacks.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images attacked together. Default: by device.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option("--retrain", is_flag=True, help="Begin stale cells anew: made from other code or data than there is now.")
@data_root_option
@results_option
@device_option
def command(source: str, datasets: str, attacks: str, irs: str, splits: str, model: str | None, name: str | None,
            weights: Path | None, normalize: str | None, ranked: bool, seed: int, batch_size: int | None, threads: int,
            retrain: bool, data_root: Path | None, results: Path, device: str) -> None:  # fmt: skip
    """Attack a network trained elsewhere; the results stand beside those of `bench run`.

    CHECKPOINT is a safetensors file or a state dict for an architecture of `bench ls models`; a pickled network is
    refused, because reading it can run any code. PACKAGE.MODULE:FACTORY is a function of yours that returns the
    network. Images are given in [0,1], so name the normalisation it was trained with.
    """
    from bench.engine.grid import Axes, expand
    from bench.engine.host.device import resolve_device
    from bench.engine.life.settings import Settings
    from bench.store.folders import open_root

    axes = Axes(
        methods=("ce",), datasets=comma_list(datasets, "datasets"), irs=comma_list(irs, "irs"), seeds=(seed,),
        attacks=comma_list(attacks, "attacks"), test_splits=comma_list(splits, "test_split"),
    )  # fmt: skip
    tasks = expand(dataclasses.replace(axes, models=(model,)) if model else axes, data_root)
    for task in tasks:
        if task.skip:
            raise UsageError(f"{task.spec.dataset} cannot be used: {task.skip}.")
    settings = Settings(
        results=results, data_root=data_root, device=resolve_device(device), threads=threads, batch_size=batch_size,
        retrain=retrain,
    )  # fmt: skip
    open_root(results, write=True)
    for task in tasks:
        _evaluate(task, settings, source, name or _label(source), weights, normalize, ranked)


def _label(source: str) -> str:
    import re

    stem = source.rpartition(":")[2] if ":" in source else Path(source).stem
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "external"


def _evaluate(task: Task, settings: Any, source: str, label: str, weights: Path | None, normalize: str | None,
              ranked: bool) -> None:  # fmt: skip
    from bench.engine.cell import run_cell
    from bench.engine.host import stop
    from bench.engine.images.subset import load_data
    from bench.engine.life.external import Given, GivenNetwork, described, probe, refuse_another

    folder = str(Path.cwd())
    if folder not in sys.path:  # as `python -m` does: a factory may stand beside the results
        sys.path.insert(0, folder)
    origin = GivenNetwork(source, task.spec.model, weights, normalize, ranked)
    data = load_data(task.spec, settings.data_root)
    network = origin.load(data)
    spec, logits = described(task.spec, label, origin, network), probe(network, data)
    # before the cell's life begins: a refusal within it would mark the other network's cell as failed
    refuse_another(settings.results / spec.id, logits)
    failed: list[str] = []

    def report(event: dict[str, Any]) -> None:
        if event["event"] in ("failed", "elsewhere"):
            failed.append(event["message"])
        elif event["event"] == "done":
            click.echo(spec.id)
            click.echo(f"look at it with `bench show {spec.id} --results {settings.results}`, and beside others with "
                       f"`bench report --results {settings.results}`.", err=True)  # fmt: skip

    stop.listen()
    run_cell(dataclasses.replace(task, spec=spec), settings, report, Given(network, logits))
    stop.check()
    if failed:
        raise BenchError(failed[0])
