"""`bench estimate`: what a grid would cost here, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.run import axes_options, price


@click.command("estimate")
@axes_options
def command(preset: str | None, data_root: Path | None, results: Path, device: str,
            **axes: Any) -> int:  # fmt: skip
    """Print the cells of a grid, what is done, and time, memory and disk of the rest (`bench run --dry-run`).

    Times need one measurement of this machine: `bench doctor --calibrate --models NAMES`.
    """
    from bench.cli._dry import show
    from bench.engine.price.cost import plans
    from bench.engine.price.large import too_large

    tasks, works, cost = price(preset, data_root, results, device, axes)
    show(tasks, works, cost, plans([work.task for work in works], data_root), data_root,
         too_large(works, results, data_root, device))  # fmt: skip
    return 0
