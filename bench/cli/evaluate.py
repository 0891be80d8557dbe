"""`bench evaluate`: a network trained elsewhere through the same attacks and into the same tables."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options.common import (
    UserPath,
    comma_list,
    data_root_option,
    device_option,
    json_option,
    quiet_option,
    results_option,
    text_option,
)
from bench.cli.shown import score_table
from bench.config import format_number
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.cli.shown.progress import Progress
    from bench.config import Task
    from bench.engine.life.settings import Settings
    from bench.engine.life.trained import Weights


@click.command("evaluate")
@click.argument("source", metavar="CHECKPOINT|MODULE:FACTORY|hf:OWNER/NAME|robustbench:NAME")
@text_option("--datasets", metavar="A,B", help="Data sets to attack it on. Default: a published network's own.")
@text_option("--attacks", default="clean,fgsm,pgd-20,aa", show_default=True, metavar="A,B", help="Attacks.")
@text_option("--irs", metavar="10,50", help="Imbalance ratio of the test split. Default: 10, or a published network's.")
@text_option(
    "--test-split", "splits", metavar="long-tailed|balanced", help="Test images. Default: long-tailed; a zoo's: both."
)
@text_option("--model", metavar="NAME", help="Architecture of a checkpoint. Default: the data set's own.")
@text_option("--name", metavar="WORD", help="Its name in the tables. Default: from the file or factory.")
@click.option("--weights", type=UserPath(path_type=Path), help="Weights for a factory's network.")
@text_option("--entry", metavar="KEY", help="Which part of a file holds the weights, where several fit.")
@text_option("--normalize", metavar="MEANS/STDS", help="Normalisation the network expects, a number a channel.")
@click.option("--ranked", is_flag=True, help="Its outputs are in this benchmark's class order, largest class first.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the attacks.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images attacked together. Default: by device.")
@click.option("--threads", type=click.IntRange(1, 512), default=1, show_default=True, help="CPU threads.")
@click.option("--retrain", is_flag=True, help="Begin stale cells anew: made from other code or data than there is now.")
@data_root_option
@results_option
@device_option
@quiet_option
@json_option
def command(
    source: str,
    datasets: str | None,
    attacks: str,
    irs: str | None,
    splits: str | None,
    model: str | None,
    name: str | None,
    weights: Path | None,
    entry: str | None,
    normalize: str | None,
    ranked: bool,
    seed: int,
    batch_size: int | None,
    threads: int,
    retrain: bool,
    data_root: Path | None,
    results: Path,
    device: str,
    quiet: bool,
    machine: bool,
) -> None:
    """Attack a network trained elsewhere; the results stand beside those of `bench run`.

    CHECKPOINT is a safetensors file, or what torch.save wrote, with weights for an architecture of `bench ls models`;
    a pickled network is refused, because reading it can run any code. PACKAGE.MODULE:FACTORY is a function of yours
    that returns the network; it is told the number of classes where it asks for it. hf:OWNER/NAME[@REVISION], or a
    folder, is a network that `bench publish --to` wrote: sizes and hashes are verified first.
    robustbench:NAME[dataset=cifar100,threat=L2] is a network of RobustBench's zoo (dataset: cifar10, threat: Linf),
    which its own package loads. Images are given in [0,1], so name the normalisation it was trained with. What was
    called, read and taken is said and kept in cell.json.
    Prints the cell's id and its scores; with --quiet the id alone.
    """
    given = Given(source, label_of(source) if name is None else name, weights, normalize, ranked, entry=entry)
    given, known = resolved(given, model, data_root)
    datasets = known.get("datasets") if datasets is None else datasets
    irs = known.get("irs", "10") if irs is None else irs
    splits = known.get("test_splits", "long-tailed") if splits is None else splits
    if datasets is None:
        raise UsageError("--datasets is missing; name the data sets to attack the network on.")
    axes: dict[str, Any] = known | {
        "datasets": comma_list(datasets, "datasets"),
        "irs": comma_list(irs, "irs"),
        "seeds": (seed,),
        "attacks": comma_list(attacks, "attacks"),
        "test_splits": comma_list(splits, "test_split"),
    }
    if model is not None:
        axes["models"] = (model,)
    _look_here()
    # what the network's own code prints is no part of what a program reads
    with redirect_stdout(sys.stderr) if machine or quiet else nullcontext():
        cells, progress = attack(
            given,
            axes,
            quiet=quiet,
            results=results,
            data_root=data_root,
            device=device,
            threads=threads,
            batch_size=batch_size,
            retrain=retrain,
        )
    if not machine:
        for cell in progress.ended("done"):
            click.echo(cell)
    score_table.show(
        results, cells, machine=machine, quiet=quiet, cells=[*progress.ends.values()], counts=progress.counts()
    )
    progress.raise_first()


#: folders of installed packages, which lie within Python's own
SHARED = ("site-packages", "dist-packages")


def _look_here() -> None:
    """Let a factory stand in the current folder, before installed packages but behind Python's own modules.

    A `statistics.py` of the user would else be imported by whoever means Python's.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        own = Path(os.__file__).parent
        behind = (i for i, path in enumerate(sys.path, 1) if own in (Path(path), Path(path).parent))
        sys.path.insert(max((i for i in behind if Path(sys.path[i - 1]).name not in SHARED), default=0), here)


@dataclasses.dataclass(frozen=True)
class Given:
    """The network to attack, as it was given: a file, `package.module:factory`, or `network` itself under this text.

    `label`: its name in the tables. See the command's options for the rest.
    """

    text: str
    label: str
    weights: Path | None = None
    normalize: str | None = None
    ranked: bool = False
    network: Any = None
    entry: str | None = None
    #: how `network` came about, in words that cell.json keeps
    called: str = ""
    #: names of the classes that a published network answers with, in order; the data's must be these
    classes: tuple[str, ...] = ()


def resolved(given: Given, model: str | None, data_root: Path | None) -> tuple[Given, dict[str, Any]]:
    """The network that a hub, a published folder or a zoo holds, and the axes that it says; any other as it is given.

    Raises UsageError, StoreError and ModelError.
    """
    from bench.engine.life.external import GivenNetwork
    from bench.hub import hub, zoo

    if given.network is not None or not (zoo.is_named(given.text) or hub.is_published(given.text)):
        if model is not None and GivenNetwork(given.text, model, network=given.network).is_factory:
            raise UsageError(
                f"the architecture '{model}' is for a file of weights, and '{given.text}' gives its own network; leave "
                "it out."
            )
        return given, {}
    if (given.weights, given.normalize, given.entry, model) != (None,) * 4:
        raise UsageError(f"'{given.text}' says how its network is built; leave the other options out.")
    if not zoo.is_named(given.text):
        return _published(given)
    named = zoo.parse(given.text)
    network, called = zoo.load(named, data_root)
    whole = dataclasses.replace(given, text=named.text, network=network, called=called)
    return whole, {"datasets": zoo.HERE[named.dataset], "test_splits": "long-tailed,balanced"}


def _published(given: Given) -> tuple[Given, dict[str, Any]]:
    """The network of a hub or folder, and the axes of the cell it came from."""
    from bench.hub.bundle import network
    from bench.hub.hub import fetch

    made, folder, address = fetch(given.text)
    spec = made.cell
    whole = dataclasses.replace(
        given, text=address, network=network(made, folder), ranked=True, classes=tuple(made.classes)
    )
    return whole, {
        "datasets": spec.dataset,
        "irs": "natural" if spec.ir is None else format_number(spec.ir),
        "models": (spec.model,),
        "selection": spec.selection,
        "class_order": spec.class_order,
        "limit": spec.limit,
    }


def attack(
    given: Given,
    axes: Mapping[str, Any],
    *,
    quiet: bool,
    results: Path,
    data_root: Path | None,
    device: str,
    **settings: Any,
) -> tuple[list[str], Progress]:
    """Attack a network on every cell of these axes and store the counts: (ids of the cells, how each ended).

    `settings`: as `bench.engine.life.settings.Settings` has them. Raises UsageError, ModelError and StoreError before
    anything is computed; a failure within a cell is an event of the progress.
    """
    from bench.cli.shown.progress import Progress
    from bench.engine.cell import run_cell
    from bench.engine.grid import Axes, expand
    from bench.engine.host import stop
    from bench.engine.host.device import resolve_device
    from bench.engine.life.settings import Settings
    from bench.store.folders import open_root

    tasks = expand(Axes(**{"methods": ("ce",), **axes}), data_root)
    for task in tasks:
        if task.skip:
            raise UsageError(f"{task.spec.dataset} cannot be used: {task.skip.rstrip('.')}.")
    kept = Settings(results=results, data_root=data_root, device=resolve_device(device), **settings)
    open_root(results, write=True)
    made = [_known(task, kept, given, quiet) for task in tasks]
    stop.listen()
    with Progress([task for task, _ in made], 0, results, quiet=quiet) as progress:
        for task, weights in made:
            run_cell(task, kept, progress.on_event, weights)
            stop.check()
    return [task.spec.id for task, _ in made], progress


def label_of(source: str) -> str:
    """The name of a file or factory as one plain word."""
    import hashlib
    import re

    from bench.hub import zoo

    source = zoo.parse(source).text if zoo.is_named(source) else source
    source = source.partition("@")[0] if source.startswith("hf:") else source
    stem = source.rpartition(":")[2] if ":" in source else Path(source).stem
    label = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "external"
    # a name of any length, still its own
    return label if len(label) <= 60 else f"{label[:52].strip('-')}-{hashlib.sha256(stem.encode()).hexdigest()[:6]}"


def _known(task: Task, settings: Settings, given: Given, quiet: bool) -> tuple[Task, Weights]:
    """The task of this very network, and where its weights come from."""
    from bench.engine.images.subset import load_data
    from bench.engine.life import external

    origin = external.GivenNetwork(
        given.text,
        task.spec.model,
        given.weights,
        given.normalize,
        given.ranked,
        given.network,
        given.entry,
        given.called,
    )
    data = load_data(task.spec, settings.data_root)
    if given.classes and given.classes != data.class_names:
        raise UsageError(
            f"{given.text} tells {len(given.classes)} classes apart that are not those of {task.spec.dataset} in their "
            "order; give it the data set, ratio and class order it was trained on."
        )
    with external.speaking_for_itself():
        network = origin.load(data)
        spec, logits = external.described(task.spec, given.label, origin, network), external.probe(network, data)
    for line in [] if quiet else external.told(network.facts):
        click.echo(line, err=True)
    # before the cell's life begins: a refusal within it would mark the other network's cell as failed
    external.refuse_another(settings.results / spec.id, logits)
    return dataclasses.replace(task, spec=spec), external.Given(network, logits)
