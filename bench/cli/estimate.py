"""`bench estimate`: what a grid would cost here, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options.axes import axes_options
from bench.cli.options.grid import price


@click.command("estimate")
@axes_options
def command(preset: str | None, data_root: Path | None, results: Path, device: str, **axes: Any) -> int:
    """Print the cells of a grid, what is done, and time, memory and disk of the rest (`bench run --dry-run`).

    Times need one measurement of this machine: `bench doctor --calibrate --models NAMES`.
    """
    from bench.cli.shown.dry import show
    from bench.engine.price.large import too_large

    grid = price(preset, data_root, results, device, axes)
    show(grid, results, data_root, too_large(grid.works, results, data_root, device))
    return 1 if grid.refused else 0
