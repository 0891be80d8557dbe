"""What each network costs, from `bench/models/facts.csv`, which `benchmarks/models.py` writes."""

from __future__ import annotations

import csv
import io
from functools import cache
from importlib.resources import files
from typing import NamedTuple

#: what the networks of the table see: channels, height, width; classes; images of a training step
IMAGE, CLASSES, BATCH = (3, 32, 32), 10, 128


class Facts(NamedTuple):
    """Of a network with a linear head: parameters, GFLOP of one image's forward pass (2 a multiply-add).

    `tensors_mib`: MiB alive at the peak of a training step, counted; `measured_mib`, `device`: what a CUDA device
    reported for it, None and empty where nothing was measured.
    """

    parameters: int
    gflop_forward: float
    tensors_mib: float
    measured_mib: float | None
    device: str


@cache
def read_facts() -> dict[str, Facts]:
    """The stored table by model name; empty when there is none."""
    table = files("bench.models").joinpath("facts.csv")
    if not table.is_file():
        return {}
    return {
        row["model"]: Facts(
            int(row["parameters"]),
            float(row["gflop_forward"]),
            float(row["tensors_mib"]),
            float(row["measured_mib"]) if row["measured_mib"] else None,
            row["device"],
        )
        for row in csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))
    }
