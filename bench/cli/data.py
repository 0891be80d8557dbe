"""`bench data`: show which images a cell uses, and export them so that others can train on the same ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options.common import UserPath, data_root_option
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
@click.option(
    "--format",
    "form",
    default="bench",
    show_default=True,
    metavar="bench|robustlt|at-bsl",
    help="Whose form an .npz has.",
)
def export(target: Path, form: str, **choice: Any) -> None:
    """Write the source indices of the images of DATASET that a cell uses; `--selection file:PATH` reads them back.

    Indices count the images of the source's own training and test split from 0. The .npz holds train_index, test_index
    (the long-tailed test split), balanced_index, class_names and both hashes; the .csv has one row an image.
    NAME.json is Croissant metadata of NAME.csv, which is written beside it and never over another one. With --format
    the .npz is one that RobustLT reads, or holds what the builder of AT-BSL, RoBal and REAT makes; `--selection
    file:PATH` reads those too.
    """
    from bench.cli.images.indices import FORMATS, own_csv
    from bench.store.folders import atomic_write
    from bench.store.parts.files import read

    if form not in FORMATS:
        raise UsageError(f"--format '{form}' is not known. {did_you_mean(form, FORMATS)}")
    writers = {".npz": FORMATS[form], ".csv": own_csv, ".json": own_csv}
    if target.suffix not in writers:
        raise UsageError(f"'{target}' cannot be written. {did_you_mean(target.suffix, writers)}")
    if form != "bench" and target.suffix != ".npz":
        raise UsageError(f"--format {form} is an .npz, and '{target}' is none; end its name with .npz.")
    data = _load(choice)
    asked = {name: choice[name] for name in ("dataset", "ir", "selection", "class_order", "limit")}
    content, table = writers[target.suffix](data, asked), target
    if target.suffix == ".json":
        from bench.cli.images.croissant import croissant

        table = target.with_suffix(".csv")
        if table.exists() and read(table) != content:
            raise UsageError(f"{table} would be overwritten; move it away, or give another name than {target.name}.")
        atomic_write(target, croissant(table, content, data, asked))
    atomic_write(table, content)
    click.echo(f"{target}: {sum(data.train_counts)} training images, subset hash {data.subset_hash}")


def _load(choice: dict[str, Any]) -> CellData:
    from bench.config import CellSpec
    from bench.engine.grid import parse_ratio
    from bench.engine.images.subset import load_data

    # which images are used depends on these alone; method, model and seed of the cell are any
    spec = CellSpec(
        "ce",
        choice["dataset"],
        parse_ratio(choice["ir"]),
        "",
        0,
        selection=choice["selection"],
        class_order=choice["class_order"],
        limit=choice["limit"],
    )
    return load_data(spec, choice["data_root"])
