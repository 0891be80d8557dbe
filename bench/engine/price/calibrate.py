"""`bench doctor --calibrate`: measure models on this machine, each in a process of its own, and keep the rates."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.engine.host.device import environment
from bench.engine.price.rates import Rate, key, write_calibration
from bench.errors import BenchError
from bench.plugins import make_dataset
from bench.registry import registry

#: arithmetic measured on each kind of device
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16")}
#: images of models that no data set names as its own
USUAL = (3, 32, 32)


def calibrate(models: Sequence[str], device: str, *, precisions: Sequence[str] | None = None) -> Iterator[str]:
    """Measure each model on the images of the data sets that use it, and say so line by line.

    Rates are written as they are found. Raises UsageError for an unknown model, BenchError when one cannot run.
    """
    for model in models:
        registry("models").origin(model)
    for model in models:
        for image in images_of(model):
            for precision in precisions or PRECISIONS[device.partition(":")[0]]:
                rate = measured(model, image, precision, device)
                path = write_calibration(device, {key(model, image, precision): rate})
                yield describe(key(model, image, precision), rate)
    if models:
        yield f"written to {path}"


def images_of(model: str) -> list[tuple[int, int, int]]:
    """Shapes (channels, height, width) of the data sets whose own model this is; 3x32x32 where there is none."""
    found = []
    for name in registry("datasets").names():
        try:
            facts = make_dataset(name, None).facts()
        except BenchError:  # needs a file that is not named here
            continue
        if facts.default_model == model.partition(":")[0]:
            found.append(facts.image)
    return sorted(set(found)) or [USUAL]


def measured(model: str, image: tuple[int, int, int], precision: str, device: str, **more: Any) -> Rate:
    """The rate found by `bench.engine.price.measure` in a fresh process. Raises BenchError when that fails."""
    with tempfile.TemporaryDirectory(prefix="bench-calibrate-") as folder:
        answer = Path(folder) / "rate.json"
        job = {"model": model, "image": image, "precision": precision, "device": device, **more}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "bench.engine.price.measure", json.dumps(job), str(answer)],
            capture_output=True,
            text=True,
            check=False,
            env=environment(int(more.get("threads", 1))),
        )
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise BenchError(f"model '{model}' cannot be calibrated on {device}: {last}")
        plain = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in plain:
        raise BenchError(plain["error"])
    return Rate.from_plain(plain)


def describe(name: str, rate: Rate) -> str:
    """One line for people."""
    batch, per = rate.batch, 1e3
    parts = {
        "training step": rate.step,
        "attack step": rate.attack,
        "forward": rate.forward,
        "gradient": rate.gradient,
    }
    times = ", ".join(f"{what} {line.seconds(batch, batch) * per:.1f} ms" for what, line in parts.items())
    memory = "" if rate.memory_mib is None else f"; {rate.memory_mib:.0f} MiB"
    return f"{name}: {times} a batch of {batch}; {rate.cell:.2f} s a cell, {rate.evaluation:.2f} s an attack{memory}"
