"""The grid that a command line asks for: its cells, what of them is done, what the rest costs, and what cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.cli.options.common import comma_list
from bench.cli.shown.stream import tell
from bench.errors import DataError, UsageError
from bench.variants import whole_number

if TYPE_CHECKING:
    from bench.config import Task
    from bench.engine.plan import Work
    from bench.engine.price.cost import Cost


class Priced(NamedTuple):
    """`tasks`: the cells that exist; `works`: those not finished; `cost`: of these but for stale ones.

    `refused`: data sets that cannot be used, with the reason.
    """

    tasks: list[Task]
    works: list[Work]
    cost: Cost
    refused: Mapping[str, str]


def price(
    preset: str | None,
    data_root: Path | None,
    results: Path,
    device: str,
    axes: Mapping[str, Any],
    retrain: bool = False,
    shard: str | None = None,
) -> Priced:
    """The grid, what is done of it and what the rest costs; says what is left out and why. Raises UsageError.

    `shard`: `i/n`, only every n-th cell from the i-th on. Raises DataError when no data set can be used.
    """
    from bench.engine.plan import plan
    from bench.engine.price.cost import estimate

    if axes.get("init") is not None:
        from bench.engine.life.before import given

        axes = {**axes, "init": given(axes["init"], results)[0]}
    refused: dict[str, str] = {}
    tasks = _tasks(preset, axes, data_root, refused)
    for task in tasks:
        if task.skip:
            tell(f"skipped {task.spec.id}: {task.skip}")
    left = [task for task in tasks if not task.skip]
    if tasks and not left and not refused:
        raise UsageError("every cell of the grid is skipped; see the reasons above.")
    left_out(refused, bool(left))
    tasks = share_of(left, shard)
    works = plan(tasks, results, data_root, retrain)
    wanted = [work for work in works if retrain or not work.stale]
    return Priced(tasks, works, estimate(wanted, results, data_root, device), refused)


def left_out(reasons: Mapping[str, str], others: bool) -> None:
    """Say of each data set that cannot be used why, once. Raises DataError when there are no `others` to go on with."""
    if not others and len(reasons) == 1:
        raise DataError(*reasons.values())
    for name, why in reasons.items():
        tell(f"data set '{name}' is left out: {why}")
    if not others and reasons:
        raise DataError("no data set of the grid can be used; see the reasons above.")


def share_of(tasks: Sequence[Task], shard: str | None) -> list[Task]:
    """The cells of the i-th of n parts of a grid, `i/n`: dealt out in turn, so equal commands deal equally.

    Cells that go on from one another, or from the same cell, stay together: no part waits for another's.
    """
    if shard is None:
        return list(tasks)
    first, count = map(whole_number, shard.partition("/")[::2])
    if first is None or count is None or not 1 <= first <= count:
        raise UsageError(f"--shard '{shard}' cannot be read; write i/n with i from 1 to n, for instance 1/2 and 2/2.")
    mine = {task.spec.id for group in _families(tasks)[first - 1 :: count] for task in group}
    return [task for task in tasks if task.spec.id in mine]


def _families(tasks: Sequence[Task]) -> list[list[Task]]:
    """The cells in groups that go on from each other, by the first of each; most stand alone."""
    of: dict[str, list[Task]] = {}
    for task in tasks:
        group = [task]
        for earlier in {id(of[cell]): of[cell] for _, cell in task.spec.cells if cell in of}.values():
            group = [*earlier, *group]
        of |= dict.fromkeys((member.spec.id for member in group), group)
    return list({id(group): group for task in tasks for group in [of[task.spec.id]]}.values())


def _tasks(preset: str | None, axes: Mapping[str, Any], data_root: Path | None, refused: dict[str, str]) -> list[Task]:
    from bench import presets
    from bench.engine.grid import Axes, expand, merge

    given: dict[str, Any] = {
        f.name: _listed(f.name, axes[f.name]) if str(f.type).startswith("tuple") else axes[f.name]
        for f in dataclasses.fields(Axes)
        if axes.get(f.name) is not None
    }
    if preset is None and "methods" in given and "datasets" in given:
        grids = [Axes(**given)]
    else:
        grids = [dataclasses.replace(grid, **given) for grid in presets.grids("quick" if preset is None else preset)]
    return merge([task for grid in grids for task in expand(grid, data_root, refused)])


def _listed(name: str, text: str) -> tuple[str, ...] | tuple[int, ...]:
    """The members of an axis that is a list."""
    members = comma_list(text, name)
    return tuple(_seed(member) for member in members) if name == "seeds" else tuple(members)


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"seed '{text}' is not an integer; write for instance --seeds 0,1,2.") from None
