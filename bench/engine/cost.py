"""What a grid costs before it runs: passes, and from measured rates seconds, memory and disk.

Passes follow from the recipe and the attacks; seconds from rates measured on this device, either by `bench doctor
--calibrate` or by cells already in the results folder. Without a measurement the seconds are unknown, never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import longtail
from bench.config import Task
from bench.engine.grid import dataset_facts, make_method
from bench.engine.plan import missing
from bench.registry import registry
from bench.store import query
from bench.store.folders import CellFolder

#: share of test images assumed to resist, where only survivors go on (AutoAttack): on the safe side
SURVIVORS = 0.5


@dataclass(frozen=True)
class Cost:
    """Forward and backward passes of one image; seconds on one process, peak MiB of a process, MiB of disk."""

    forward: float = 0.0
    backward: float = 0.0
    seconds: float | None = 0.0
    memory_mib: float | None = None
    disk_mib: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        known = [m for m in (self.memory_mib, other.memory_mib) if m is not None]
        return Cost(
            self.forward + other.forward, self.backward + other.backward,
            None if self.seconds is None or other.seconds is None else self.seconds + other.seconds,
            max(known, default=None), self.disk_mib + other.disk_mib,
        )  # fmt: skip


@dataclass(frozen=True)
class Rate:
    """Seconds of one image's forward and backward pass on a device, fixed seconds a cell, peak MiB, MiB of weights."""

    forward: float
    backward: float
    overhead: float
    memory_mib: float | None
    weights_mib: float


def estimate(tasks: Sequence[Task], results: Path, data_root: Path | None, device: str) -> Cost:
    """The cost of what `tasks` still lack."""
    rates = known_rates(results, device)
    total = Cost()
    for task in tasks:
        total += cell_cost(task, results, data_root, rates)
    return total


def cell_cost(task: Task, results: Path, data_root: Path | None, rates: Mapping[str, Rate]) -> Cost:
    """The cost of one task's missing stages."""
    spec, facts = task.spec, dataset_facts(task.spec.dataset, data_root)
    lacks = missing(task, CellFolder(results, spec.id).read())
    forward = backward = 0.0
    if "train" in lacks:
        steps = spec.recipe.epochs * sum(class_counts(facts.train_max, spec.ir, facts.classes, spec.limit))
        f, b = make_method(spec).passes(spec.recipe)
        forward, backward = steps * f, steps * b
    for split in task.want.test_splits:
        ir = spec.ir if split == "long-tailed" else None
        images = sum(class_counts(facts.test_max, ir, facts.classes, spec.limit))
        for attack in task.want.attacks:
            if f"{split}/{attack.label}" in lacks:
                cls = registry("attacks").get(attack.name)
                f, b = cls(cls.Params(**dict(attack.params)), spec.threat, facts.classes).passes()
                share = SURVIVORS if f > 500 else 1.0
                forward, backward = forward + share * images * f, backward + share * images * b
    cost = Cost(forward, backward, None, None, 0.2)
    rate = rates.get(f"{spec.model}/{spec.precision}")
    if rate is None:
        return cost
    seconds = forward * rate.forward + backward * rate.backward + rate.overhead
    return replace(cost, seconds=seconds, memory_mib=rate.memory_mib, disk_mib=0.2 + 2 * rate.weights_mib)


def class_counts(largest: int, ir: float | None, classes: int, limit: int | None) -> list[int]:
    """Images a class as the data module will choose them."""
    full = longtail.counts(largest, ir, classes) if ir is not None and largest else [largest] * classes
    return longtail.limited(full, limit) if largest else full


def known_rates(results: Path, device: str) -> dict[str, Rate]:
    """Rates by `model/precision`: the calibration file's, else those of finished cells in the store."""
    rates = _from_store(results, device) if results.is_dir() else {}
    return rates | read_calibration(device)


def calibration_path() -> Path:
    """Where `bench doctor --calibrate` writes: BENCH_CALIBRATION or the usual cache folder."""
    import os

    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bench" / "calibration.json"
    return Path(os.environ.get("BENCH_CALIBRATION", default))


def read_calibration(device: str) -> dict[str, Rate]:
    """Rates measured by `bench doctor --calibrate` on this kind of device; none when the file is absent or unreadable."""
    try:
        stored = json.loads(calibration_path().read_text(encoding="utf-8"))
        return {key: Rate(**rate) for key, rate in stored.get(device.partition(":")[0], {}).items()}
    except (OSError, ValueError, TypeError):
        return {}


def _from_store(results: Path, device: str) -> dict[str, Rate]:
    """Seconds a pass from finished trainings, forward and backward taken as equally long."""
    kind, found = device.partition(":")[0], dict[str, list[Rate]]()
    for cell in query.cells(results):
        train: dict[str, Any] = cell.get("stages", {}).get("train", {})
        passes = train.get("forward", 0) + train.get("backward", 0)
        if passes and (kind == "auto" or cell.get("device", {}).get("kind") == kind):
            each = train["seconds"] / passes
            memory = max(stage.get("peak_memory_mib") or 0 for stage in cell["stages"].values())
            rate = Rate(each, each, 0.0, memory, train.get("weights_mib", 0.0))
            found.setdefault(f"{cell['spec']['model']}/{cell['spec']['precision']}", []).append(rate)
    return {key: sorted(rates, key=lambda r: r.forward)[len(rates) // 2] for key, rates in found.items()}
