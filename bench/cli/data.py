"""`bench data`: show which images a cell uses, and export them so that others can train on the same ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli._options import UserPath, data_root_option
from bench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from bench.engine.images.subset import CellData


def _choice(command: Callable[..., None]) -> Callable[..., None]:
    """The options that decide which images are used."""
    for option in (
        data_root_option,
        click.option("--limit", type=click.IntRange(min=1), help="At most N images a class."),
        click.option("--class-order", default="natural", show_default=True, metavar="natural|reversed|seed:N"),
        click.option(
            "--selection",
            default="seeded",
            show_default=True,
            metavar="seeded|official-builder|robustlt:N|file:PATH",
        ),
        click.option("--ir", default="natural", show_default=True, help="Imbalance ratio above 1, or `natural`."),
        click.argument("dataset"),
    ):
        command = option(command)
    return command


@click.group("data")
def command() -> None:
    """Look at the images a cell uses: which, how many a class, and their hashes."""


@command.command("show")
@_choice
def show(**choice: Any) -> None:
    """Images a class in each split of DATASET, where the pixels come from, and the hashes."""
    data = _load(choice)
    channels, height, width = data.image
    click.echo(f"{choice['dataset']}, imbalance ratio {choice['ir']}: {height}x{width}, {channels} channel(s)")
    click.echo(f"source       {data.source}")
    click.echo(f"data hash    {data.data_hash}\nsubset hash  {data.subset_hash}")
    click.echo(f"{'class':>5} {'label':>5} {'train':>7} {'long-tailed':>12} {'balanced':>9}  name")
    tests = (data.test_counts["long-tailed"], data.test_counts["balanced"])
    rows = zip(data.native_labels, data.train_counts, *tests, data.class_names, strict=True)
    for index, (label, train, tailed, even, name) in enumerate(rows):
        click.echo(f"{index:>5} {label:>5} {train:>7} {tailed:>12} {even:>9}  {name}")
    click.echo(f"{'total':>11} {sum(data.train_counts):>7} {sum(tests[0]):>12} {sum(tests[1]):>9}")


@command.command("export")
@_choice
@click.option(
    "--to",
    "target",
    required=True,
    type=UserPath(path_type=Path),
    help="File to write: .npz, .csv or .json (Croissant).",
)
def export(target: Path, **choice: Any) -> None:
    """Write the source indices of the images of DATASET that a cell uses; `--selection file:PATH` reads them back.

    Indices count the images of the source's own training and test split from 0. The .npz holds train_index, test_index
    (the long-tailed test split), balanced_index, class_names and both hashes; the .csv has one row an image.
    NAME.json is Croissant metadata of NAME.csv, which is written beside it.
    """
    from bench.store.folders import atomic_write

    writers = {".npz": _npz, ".csv": _csv, ".json": _csv}
    if target.suffix not in writers:
        raise UsageError(f"'{target}' cannot be written. {did_you_mean(target.suffix, writers)}")
    data = _load(choice)
    asked = {name: choice[name] for name in ("dataset", "ir", "selection", "class_order", "limit")}
    content, table = writers[target.suffix](data, asked), target
    if target.suffix == ".json":
        from bench.cli._croissant import croissant

        table = target.with_suffix(".csv")
        atomic_write(target, croissant(table, content, data, asked))
    atomic_write(table, content)
    click.echo(f"{target}: {sum(data.train_counts)} training images, subset hash {data.subset_hash}")


def _load(choice: dict[str, Any]) -> CellData:
    from bench.config import CellSpec
    from bench.engine.grid import parse_ratio
    from bench.engine.images.subset import load_data

    # which images are used depends on these alone; method, model and seed of the cell are any
    spec = CellSpec("ce", choice["dataset"], parse_ratio(choice["ir"]), "", 0, selection=choice["selection"],
                    class_order=choice["class_order"], limit=choice["limit"])  # fmt: skip
    return load_data(spec, choice["data_root"])


def _npz(data: CellData, choice: dict[str, Any]) -> bytes:
    import numpy as np

    arrays: dict[str, Any] = {name: str(value) for name, value in choice.items()} | {
        "train_index": data.train_index.numpy(),
        "test_index": data.splits["long-tailed"].numpy(),
        "balanced_index": data.splits["balanced"].numpy(),
        "class_names": np.array(data.class_names),
        "native_labels": np.array(data.native_labels),
        "data_hash": data.data_hash,
        "subset_hash": data.subset_hash,
        "source": data.source,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _csv(data: CellData, _choice: dict[str, Any]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("split", "index", "class_index", "native_label", "class_name", "subset_hash"))
    parts = [("train", data.train_index, data.train_labels)]
    parts += [(name, index, data.test_labels[index]) for name, index in data.splits.items()]
    for split, index, labels in parts:
        for i, c in zip(index.tolist(), labels.tolist(), strict=True):
            writer.writerow((split, i, c, data.native_labels[c], data.class_names[c], data.subset_hash))
    return text.getvalue().encode()
