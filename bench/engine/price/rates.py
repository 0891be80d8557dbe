"""How fast this machine is: what `bench doctor --calibrate` measures and the estimate of a grid's cost reads.

One `Rate` a model, image shape and precision, in one JSON file a user and machine. A call on n images is taken to last
`call + image * n` seconds, because small batches are dominated by what every call costs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.paths import cache_folder

#: version of the calibration file; another one is ignored
VERSION = 2


@dataclass(frozen=True)
class Line:
    """Seconds of one call: `call` whatever the batch, and `image` for each of its images."""

    call: float
    image: float

    def seconds(self, images: float, batch: int) -> float:
        """All calls that `images` images need in batches of `batch`."""
        return math.ceil(images / batch) * self.call + images * self.image if images else 0.0

    @classmethod
    def through(cls, small: tuple[int, float], large: tuple[int, float]) -> Line:
        """The line through two (images, seconds), with neither part negative."""
        (n, t), (m, u) = small, large
        image = min(max((u - t) / (m - n), 0.0), u / m)
        return cls(max(t - n * image, 0.0), image)


@dataclass(frozen=True)
class Rate:
    """One model on one device.

    `step`: one training step without attack (augmentation, forward, backward, optimiser); `attack`: one step of the
    training attack; `forward`, `gradient`: one pass of an evaluation. Seconds that do not depend on the images: of a
    process (`startup`), of its first cell on top (`first`: what is imported only then), of a cell (`cell`) and of an
    attack (`evaluation`). `memory_mib`: peak of a process at batch `batch`, of which `base_mib` without any image.
    `slowdown`: by which an attack's own arithmetic stretches its passes.
    """

    step: Line
    attack: Line
    forward: Line
    gradient: Line
    evaluation: float = 0.0
    cell: float = 0.0
    startup: float = 0.0
    first: float = 0.0
    memory_mib: float | None = None
    base_mib: float = 0.0
    batch: int = 128
    weights_mib: float = 0.0
    slowdown: Mapping[str, float] = field(default_factory=dict)

    def memory(self, batch: int) -> float | None:
        """Peak MiB of a process at another training batch; the evaluation keeps its own."""
        if self.memory_mib is None:
            return None
        return self.base_mib + (self.memory_mib - self.base_mib) * max(1.0, batch / self.batch)

    def to_plain(self) -> dict[str, Any]:
        """JSON form."""
        return dataclasses.asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Rate:
        """What `to_plain` wrote. Raises TypeError or KeyError on anything else."""
        lines = {name: Line(**plain[name]) for name in ("step", "attack", "forward", "gradient")}
        return cls(**{**plain, **lines})


def key(model: str, image: tuple[int, int, int], precision: str) -> str:
    """Name of a rate: `resnet18/3x32x32/fp32`."""
    return f"{model}/{'x'.join(map(str, image))}/{precision}"


def calibration_path() -> Path:
    """Where `bench doctor --calibrate` writes: BENCH_CALIBRATION or the usual cache folder."""
    default = cache_folder() / "bench" / "calibration.json"
    return Path(os.environ.get("BENCH_CALIBRATION", default))


def read_calibration(device: str) -> dict[str, Rate]:
    """Rates measured on this kind of device (`auto`: the GPU's where there are any); none when there is no file."""
    stored = _stored()
    kind = device.partition(":")[0]
    if kind == "auto":
        kind = "cuda" if "cuda" in stored else "cpu"
    found = {}
    for name, rate in stored.get(kind, {}).items():
        with contextlib.suppress(TypeError, KeyError):  # a rate that cannot be understood is no measurement
            found[name] = Rate.from_plain(rate)
    return found


def write_calibration(device: str, rates: Mapping[str, Rate]) -> Path:
    """Add rates to the file, replacing those of the same name."""
    path, stored = calibration_path(), _stored()
    kind = device.partition(":")[0]
    stored[kind] = stored.get(kind, {}) | {name: rate.to_plain() for name, rate in rates.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps({"version": VERSION, **stored}, indent=1, sort_keys=True), encoding="utf-8")
    beside.replace(path)
    return path


def _stored() -> dict[str, Any]:
    try:
        stored = json.loads(calibration_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict) or stored.pop("version", None) != VERSION:
        return {}
    return stored
