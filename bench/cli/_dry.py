"""What a run would do, printed: cells, what is done, and the cost of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from bench.cli._data import standing
from bench.cli._format import count, duration, size
from bench.config import Task
from bench.engine.plan import Work
from bench.engine.price.cost import Cost
from bench.engine.price.large import Large


def show(
    tasks: Sequence[Task], works: Sequence[Work], cost: Cost, plans: Mapping[str, Sequence[str]],
    data_root: Path | None, large: Sequence[Large],
) -> None:  # fmt: skip
    """Print every cell with its state, the plans of its audits, the totals, the data sets, what is too large."""
    states = {work.task.spec.id: "stale" if work.stale else "to do" for work in works}
    todo = [work.task for work in works]
    for task in tasks:
        state = states.get(task.spec.id, "done")
        spec = task.spec
        variant = f" [{spec.variant}]" if spec.variant else ""
        variant += f" {spec.enhanced}" if spec.enhanced else ""
        mark = f" (reduced: {spec.reduced})" if spec.reduced else ""
        click.echo(f"{state:5}  {spec.id}  {spec.model} {spec.recipe.name}{variant}{mark}")
    for where, lines in plans.items():
        click.echo("\n  ".join([f"plan of {where}, at typical rates (a pilot makes the real one):", *lines]))
    click.echo(
        f"{len(tasks)} cells, {len(tasks) - len(todo)} done, {len(todo)} to do: "
        f"{count(cost.forward)} forward and {count(cost.backward)} backward passes of one image, "
        f"time on one process {duration(cost.seconds)}, memory a process {size(cost.memory_mib)}, "
        f"disk {size(cost.disk_mib)}."
    )
    for work in works:
        if work.stale:
            click.echo(work.stale, err=True)
    if cost.seconds is None:
        models = ",".join(sorted({task.spec.model for task in todo}))
        click.echo(f"The time is unknown until it is measured here: run `bench doctor --calibrate --models {models}`.")
    for line in standing((task.spec.dataset for task in tasks), data_root):
        click.echo(f"data sets {line}.".replace("..", "."))
    for line in warnings(large):
        click.echo(line)


def warnings(large: Sequence[Large]) -> list[str]:
    """A sentence for each network that is too large for this device."""
    reckoned = ", reckoned from its arithmetic at the speed of a matrix product here"
    return [
        f"{one.model} is too large for this device: a cell takes about {duration(one.seconds)}"
        f"{reckoned if one.reckoned else ''}{f'; a smaller one is --models {one.smaller}' if one.smaller else ''}."
        for one in large
    ]
