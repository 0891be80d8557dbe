"""Networks that are too large for a device: said before a run begins, with the time that a cell takes.

Where rates of the network are known their estimate counts. Else the arithmetic of all passes is reckoned at the speed
of a product of large matrices, which is measured here in a fraction of a second: few networks are faster.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.engine.plan import Work
from bench.engine.price.cost import cell_cost, learn
from bench.plugins import dataset_facts
from bench.sizes import IMAGE, read_facts

#: seconds of one cell from which its network is called too large
LIMIT = 6 * 3600.0
#: operations of a grid below which nobody needs to measure anything
FEW = 1e13
#: share of the operations that a smaller network may have
SMALLER = 1 / 8
#: side of the matrices that are multiplied
SIDE = 1024


@dataclass(frozen=True)
class Large:
    """A network with which a cell takes `seconds`, estimated or `reckoned`; `smaller`: another one, or none."""

    model: str
    cells: int
    seconds: float
    reckoned: bool
    smaller: str


def too_large(works: Sequence[Work], results: Path, data_root: Path | None, device: str) -> list[Large]:
    """The networks of a grid with a cell above `LIMIT`, the slowest first."""
    if not works:
        return []
    known, table = learn(results, data_root, device), read_facts()
    found: dict[str, Large] = {}
    for task, lacks, *_ in works:
        spec = task.spec
        facts = dataset_facts(spec.dataset, data_root)
        cost = cell_cost(task, facts, lacks, known)
        row = table.get(spec.model)
        reckoned = cost.seconds is None
        seconds = cost.seconds
        if seconds is None and row is not None:
            pixels = facts.image[1] * facts.image[2] if not spec.recipe.resize else spec.recipe.resize**2
            share = pixels / (IMAGE[1] * IMAGE[2]) if not spec.model.endswith("-imagenet") else 1.0
            operations = (cost.forward + 2 * cost.backward) * row.gflop_forward * 1e9 * share
            seconds = operations / speed(device) if operations > FEW else 0.0
        if seconds is not None and seconds > LIMIT:
            before = found.get(spec.model)
            found[spec.model] = Large(
                spec.model,
                (before.cells if before else 0) + 1,
                max(seconds, before.seconds if before else 0.0),
                reckoned,
                smaller(spec.model),
            )
    return sorted(found.values(), key=lambda large: -large.seconds)


def smaller(model: str) -> str:
    """The largest network with at most an eighth of the operations, of the same family where there is one."""
    table = {name: row.gflop_forward for name, row in read_facts().items()}
    if model not in table:
        return ""
    fits = [name for name, cost in table.items() if cost <= SMALLER * table[model]]
    family = [name for name in fits if _family(name) == _family(model)]
    return max(family or fits, key=lambda name: table[name], default="")


def _family(model: str) -> str:
    """`resnet18-thin` -> `resnet`."""
    return model.partition("-")[0].rstrip("0123456789")


@cache
def speed(device: str) -> float:
    """Floating-point operations a second of one process here, in a product of matrices: the best of a few."""
    import torch

    here = torch.cuda.is_available()
    if device.startswith("cuda") and not here:
        return math.inf  # another machine's: nothing can be measured, and nothing is said
    where = torch.device(device if device != "auto" else "cuda" if here else "cpu")
    a = torch.ones(SIDE, SIDE, device=where)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        _ = (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - began)
    return 2 * SIDE**3 / best
