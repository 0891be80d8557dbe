"""Which device and how many processes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.errors import DeviceError, UsageError

#: share of free memory that `--jobs auto` fills, and what a process is taken to need where nothing was measured
FILL, USUAL_MIB, USUAL_GPU_MIB = 0.9, 1200.0, 6000.0
#: most processes that share a GPU (a judgement: one process leaves gaps, three were never measured), what each takes
#: besides its tensors, and the slack its allocator keeps
GPU_PROCESSES, CONTEXT_MIB, GPU_RESERVE = 2, 600.0, 1.2
#: where the libraries under torch and NumPy look for their number of threads
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

#: what the C library's allocator is told: keep freed blocks up to 16 MiB. By default it gives them back and is given
#: them again page by page, which costs a small network a good part of its step; larger blocks it still gives back, so
#: the peak does not grow. Computed numbers do not depend on it, and other C libraries do not read it
ALLOCATOR_VARIABLES = {"MALLOC_MMAP_THRESHOLD_": str(16 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


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
        raise DeviceError(
            f"device '{name}' was asked for, but this machine has {present} CUDA devices; use --device cpu."
        )
    return name


def resolve_jobs(text: str, device: str, threads: int, memory_mib: float | None = None) -> int:
    """Number of worker processes. Raises UsageError.

    `auto` fills the cores with processes of `threads` threads and stops before memory is full: `memory_mib` is what
    one process takes (None: a usual amount). On a GPU its memory counts, and no more than GPU_PROCESSES share it;
    `cuda` stands for every visible GPU.
    """
    if text == "auto":
        cores = len(os.sched_getaffinity(0)) // threads
        if device.startswith("cuda"):
            names = [f"cuda:{i}" for i in range(len(visible_gpus()))] if device == "cuda" else [device]
            each = GPU_RESERVE * (memory_mib or USUAL_GPU_MIB) + CONTEXT_MIB
            room = sum(min(GPU_PROCESSES, int(gpu_free_mib(name) / each)) for name in names)
            return max(1, min(cores, room))
        return max(1, min(cores, int(available_mib() * FILL / (memory_mib or USUAL_MIB))))
    try:
        jobs = int(text)
    except ValueError:
        jobs = -1
    if jobs < 0:
        raise UsageError(f"--jobs '{text}' is neither a number of processes nor auto.")
    return jobs


def environment(threads: int, device: str = "cpu", worker: int = 0) -> dict[str, str]:
    """The environment of the `worker`-th process: so many cores, whichever library asks, an allocator that keeps its
    memory, and one GPU of those that are visible where `device` is `cuda`.

    What the user has said about the allocator stands.
    """
    own = {name: str(threads) for name in THREAD_VARIABLES}
    if device == "cuda" and len(gpus := visible_gpus()) > 1:
        own["CUDA_VISIBLE_DEVICES"] = gpus[worker % len(gpus)]
    return ALLOCATOR_VARIABLES | dict(os.environ) | own


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process sees, as CUDA_VISIBLE_DEVICES writes them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] or [str(i) for i in range(count)]


def available_mib() -> float:
    """MiB of memory that new processes can take: of the machine, or less where a control group sets a limit."""
    free = [_meminfo()]
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit.isdecimal():
            free.append((int(limit) - int((group / "memory.current").read_text())) / 2**20)
    except (OSError, ValueError):  # no control group of the second version
        pass
    return max(min(free), 0.0)


def _meminfo() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / 2**20


def gpu_free_mib(device: str) -> float:
    """MiB free on a CUDA device."""
    import torch

    return float(torch.cuda.mem_get_info(torch.device(device))[0]) / 2**20
