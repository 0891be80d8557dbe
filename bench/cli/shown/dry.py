"""What a run would do, printed: cells, what is done or under way, and the cost of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.images.present import standing
from bench.cli.options.grid import Priced
from bench.cli.shown.format import count, duration, size
from bench.cli.shown.standing import detail
from bench.cli.shown.stream import tell
from bench.config import Task
from bench.engine.price.large import Large


def show(grid: Priced, results: Path, data_root: Path | None, large: Sequence[Large]) -> None:
    """Print every cell with its state, the plans of its audits, the totals, the data sets, what is too large."""
    from bench.engine.price.cost import plans
    from bench.store import status

    cost, todo = grid.cost, [work.task for work in grid.works]
    now = {task.spec.id: status.standing(results / task.spec.id) for task in todo}
    states = {work.task.spec.id: "stale" if work.stale else _state(now[work.task.spec.id].state) for work in grid.works}
    for task in grid.tasks:
        state = states.get(task.spec.id, "done")
        far = detail(now[task.spec.id]) if state in ("running", "interrupted", "failed") else ""
        click.echo(f"{state:11}  {task.spec.id}  {_told(task)}{far}")
    alike: dict[tuple[str, ...], list[str]] = {}
    for where, lines in plans(todo, data_root).items():
        alike.setdefault(tuple(lines), []).append(where)
    for plan, (first, *rest) in alike.items():
        more = f" and of {len(rest)} more" if rest else ""
        click.echo("\n  ".join([f"plan of {first}{more}, at typical rates (a pilot makes the real one):", *plan]))
    number = Counter(states.values())
    under_way = [f"{number[state]} {state}" for state in ("running", "interrupted", "failed", "stale") if number[state]]
    some = f" (of them {', '.join(under_way)})" if under_way else ""
    click.echo(
        f"{len(grid.tasks)} cells, {len(grid.tasks) - len(todo)} done, {len(todo)} to do{some}: "
        f"{count(cost.forward)} forward and {count(cost.backward)} backward passes of one image, "
        f"time on one process {duration(cost.seconds)}, memory a process {size(cost.memory_mib)}, "
        f"disk {size(cost.disk_mib)}."
    )
    for work in grid.works:
        if work.stale:
            tell(work.stale)
    if cost.seconds is None:
        models = ",".join(sorted({task.spec.model for task in todo}))
        click.echo(f"The time is unknown until it is measured here: run `bench doctor --calibrate --models {models}`.")
    for line in standing((task.spec.dataset for task in grid.tasks), data_root):
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


def _state(found: str) -> str:
    """What a cell that lacks something is called: one that is done for others is to do here."""
    return "to do" if found == "done" else found


def _told(task: Task) -> str:
    spec = task.spec
    variant = f" [{spec.variant}]" if spec.variant else ""
    variant += f" {spec.enhanced}" if spec.enhanced else ""
    mark = f" (reduced: {spec.reduced})" if spec.reduced else ""
    return f"{spec.model} {spec.recipe.name}{variant}{mark}"
