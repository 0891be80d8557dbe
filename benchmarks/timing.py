"""Timing shared by the scripts here: paired rounds, ratios as minimum / median / maximum.

Sides that are compared as their users run them live in a process each (`Served`), because how a process treats freed
memory is part of that; one works while the others wait.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

#: `wall` is what a user waits for; `cpu` is this process's own time, for one thread on a machine that others use too
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
#: seconds that a variant took, or None to have the whole call timed
Variant = Callable[[], float | None]


class Served:
    """A variant in a process of its own: `words` after the name of the interpreter, a script that calls `serve`."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self) -> float:
        """Seconds of one round."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a side of the benchmark ended with exit code {self.process.wait()}.")
        return float(answer)

    def end(self) -> str:
        """Let it end; what it says at the end."""
        return self.process.communicate()[0]


def serve(variant: Variant, clock: str) -> None:
    """A round for every line of the input, its seconds on a line of the output; until the input ends."""
    for _ in sys.stdin:
        print(timed(variant, clock), flush=True)


def timed(variant: Variant, clock: str) -> float:
    """Seconds of one call."""
    began = CLOCKS[clock]()
    told = variant()
    return CLOCKS[clock]() - began if told is None else told


def interleaved(
    variants: Mapping[str, Variant], rounds: int, warm_up: bool = True, clock: str = "wall"
) -> dict[str, list[float]]:
    """Seconds of every variant in every round; the order is reversed each round, the warm-up is not counted."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for round_ in range(rounds + warm_up):
        names = list(variants) if round_ % 2 else list(reversed(variants))
        for name in names:
            seconds = timed(variants[name], clock)
            if round_ >= warm_up:
                times[name].append(seconds)
    return times


def ratios(times: Mapping[str, list[float]], reference: str) -> dict[str, tuple[float, float, float]]:
    """(smallest, median, largest) speed-up of every variant over the reference, round by round."""
    found = {}
    for name, own in times.items():
        paired = [a / b for a, b in zip(times[reference], own, strict=True)]
        found[name] = (min(paired), statistics.median(paired), max(paired))
    return found


def table(times: Mapping[str, list[float]], reference: str) -> str:
    """A Markdown table of medians and ratios."""
    lines = ["| variant | median seconds | speed-up min / median / max |", "|---|---|---|"]
    for name, (low, middle, high) in ratios(times, reference).items():
        lines.append(f"| {name} | {statistics.median(times[name]):.4g} | {low:.2f} / **{middle:.2f}** / {high:.2f} |")
    return "\n".join(lines)


def machine(device: str = "cpu") -> str:
    """What the numbers were measured on, in one line."""
    parts = [f"torch {torch.__version__}", f"Python {platform.python_version()}", f"{torch.get_num_threads()} threads"]
    if device.startswith("cuda"):
        parts.insert(0, torch.cuda.get_device_name(device))
    else:
        parts.insert(0, f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {_instructions()}")
        parts.append(f"load {os.getloadavg()[0]:.1f}")
    return "; ".join(parts)


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _instructions() -> str:
    flags = set(_cpuinfo("flags").split())
    present = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    absent = [name for name in ("avx512_bf16", "amx_bf16") if name not in flags]
    return " ".join(present) + (f" (no {', '.join(absent)})" if absent else "")


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
