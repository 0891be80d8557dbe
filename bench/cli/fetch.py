"""`bench fetch`: download data sets, with progress, resume and checksum."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bench.cli.options.common import data_root_option


@click.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@data_root_option
def command(names: tuple[str, ...], data_root: Path | None) -> None:
    """Download data sets: `bench fetch cifar10lt dermamnist medmnist:bloodmnist`.

    A download that was interrupted goes on where it stopped; a file takes its name only when its checksum is right.
    Without network, the message says which file to place where.
    """
    from bench.plugins import make_dataset

    for made in [(name, make_dataset(name, data_root)) for name in names]:
        name, source = made
        with _progress(name) as report:
            path = source.fetch(report)
        click.echo(f"{name}: {path}")


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar with speed and time left on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.__stderr__), transient=True) as bars:
        task = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total or None)
