"""Peak memory of a stage: of the device's allocator on a GPU, of this process on a CPU."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

import torch

from bench.errors import DeviceError

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_HIGH_WATER = "5"  # what the kernel asks for to begin the resident high-water mark anew


def reset_peak(device: torch.device) -> None:
    """Begin the peak anew, so that a stage does not report what an earlier one, or an earlier cell, needed.

    On a CPU the freed memory that the allocator keeps is handed back first. Where the kernel cannot (not Linux), the
    peak stays that of the whole process.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text(_HIGH_WATER)
    except (OSError, AttributeError):
        pass


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out: of a device, of NumPy, or of torch's allocator on the CPU."""
    words = "can't allocate memory"  # what DefaultCPUAllocator says, in a plain RuntimeError
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and words in str(error)
    )


def halved(error: RuntimeError | MemoryError, size: int) -> int:
    """Half of a batch that an error calls too large. Raises any other error as it is, DeviceError for one image."""
    if not ran_out(error):
        raise error
    if size == 1:
        raise DeviceError("memory ran out with one image; leave it more, with fewer --jobs or on another device.")
    return size // 2


def peak_memory(device: torch.device) -> float:
    """Peak in MiB since `reset_peak`: allocated on a GPU, resident on a CPU."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 2**10, 1)
    except (OSError, StopIteration):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
