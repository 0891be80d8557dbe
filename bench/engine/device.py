"""Which device and how many processes."""

from __future__ import annotations

import os
import re

from bench.errors import DeviceError, UsageError


def resolve_device(name: str) -> str:
    """`cpu`, `cuda` or `cuda:N`; `auto` is the first GPU if there is one. Raises DeviceError, UsageError."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if not match:
        raise UsageError(f"device '{name}' is not known; use auto, cpu, cuda or cuda:N.")
    present = torch.cuda.device_count()
    if int(match[1] or 0) >= present:
        raise DeviceError(f"device '{name}' was asked for, but this machine has {present} CUDA devices; use --device cpu.")
    return name


def resolve_jobs(text: str, device: str, threads: int) -> int:
    """Number of worker processes; `auto` fills the cores of a CPU, and is one a GPU. Raises UsageError."""
    if text == "auto":
        return 1 if device.startswith("cuda") else max(1, len(os.sched_getaffinity(0)) // threads)
    try:
        jobs = int(text)
    except ValueError:
        jobs = -1
    if jobs < 0:
        raise UsageError(f"--jobs '{text}' is neither a number of processes nor auto.")
    return jobs
