"""`kill -9` at random moments of the real command: the same bytes as an undisturbed run, and no stray file.

    python benchmarks/kills.py                        # 50 kills in each of --jobs 0, 1 and 2
    python benchmarks/kills.py --kills 5 --jobs 1

Moments are drawn anew from `--seed` over the time that the undisturbed run took. The whole group of processes is
killed, as a machine that loses its power does. When the kills are used up the command runs once more to its end. How
much was done twice is counted in epochs of training: those begun in all runs, less those of the undisturbed one.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: files of a cell whose bytes must not depend on how often it was killed
FILES = ("per_class.csv", "per_sample.npz")
GRID = ("--methods", "at,taet", "--datasets", "digitslt", "--irs", "10", "--epochs", "8", "--limit", "40")


def command(root: Path, jobs: int) -> list[str]:
    """The real command."""
    place = ["--results", str(root), "--jobs", str(jobs), "--device", "cpu"]
    return [sys.executable, "-m", "bench", "--verbose", "run", *GRID, *place]


def epochs_begun(log: str) -> int:
    """Epochs that were trained in a run, by its log."""
    return sum(", stage train, at " in line and ", loss " in line for line in log.splitlines())


def whole(root: Path, jobs: int) -> tuple[float, int]:
    """(seconds, epochs) of a run to the end."""
    began = time.monotonic()
    done = subprocess.run(command(root, jobs), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the run failed:\n{done.stderr[-3000:]}")
    return time.monotonic() - began, epochs_begun(done.stderr)


def killed(root: Path, jobs: int, after: float) -> tuple[bool, int]:
    """(whether it was killed before its end, epochs begun) of a run that is killed after some seconds."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command(root, jobs), stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.seek(0)
        return process.returncode != 0, epochs_begun(log.read())


def content(root: Path) -> dict[str, bytes]:
    """The files that must be equal, by path."""
    return {str(p.relative_to(root)): p.read_bytes() for name in FILES for p in root.glob(f"*/{name}")}


def names(root: Path) -> set[str]:
    """Every file and folder of a store."""
    return {str(p.relative_to(root)) for p in root.rglob("*")}


def main() -> None:
    """Run it and print a line a number of jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--jobs", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder, "undisturbed")
        seconds, epochs = whole(base, 0)
        print(f"undisturbed: {seconds:.0f} s, {epochs} epochs, {len(content(base))} files", flush=True)
        for jobs in asked.jobs:
            root, hits, begun = Path(folder, f"jobs{jobs}"), 0, 0
            for _ in range(asked.kills):
                hit, more = killed(root, jobs, draw.uniform(0.0, seconds))
                hits, begun = hits + hit, begun + more
            begun += whole(root, jobs)[1]
            equal, stray = content(root) == content(base), sorted(names(root) - names(base))
            print(
                f"jobs {jobs}: {asked.kills} starts, {hits} killed at work; bytes {'equal' if equal else 'DIFFER'}; "
                f"stray files {stray or 'none'}; epochs done twice {begun - epochs}", flush=True,
            )  # fmt: skip
            if not equal or stray:
                raise SystemExit(1)


if __name__ == "__main__":
    main()
