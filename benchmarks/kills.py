"""`kill -9` at random moments of the real command: the same bytes as an undisturbed run, and no stray file.

    python benchmarks/kills.py                        # 50 kills over --jobs 0, 1 and 2
    python benchmarks/kills.py --kills 5 --jobs 1
    python benchmarks/kills.py --kills 0 --together 10 --dead 4    # processes on one folder, some of them killed

Moments are drawn from `--seed` over the time that an undisturbed run took. The whole group of processes is killed, as a
machine that loses its power does, and the command is started again on the same folder with the next number of jobs;
when it comes to its end, the folder is compared and a new one begun. Only kills of a running command count. How much
was done twice is counted in epochs of training: those begun in all runs, less those of undisturbed ones.
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
#: every attack of the paper; the long ones shortened, so that a run takes seconds and training its share of them
ATTACKS = "clean,fgsm,pgd-20,pgd-100[steps=50],cw-l2,cw-linf,aa[steps=10,queries=200]"
GRID = ("--methods", "at,taet", "--datasets", "digitslt", "--irs", "10", "--epochs", "10", "--limit", "80",
        "--attacks", ATTACKS)  # fmt: skip


def command(root: Path, jobs: int) -> list[str]:
    """The real command."""
    place = ["--results", str(root), "--jobs", str(jobs), "--device", "cpu", "--yes"]
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
        said = log.read()
    if process.returncode > 0:
        raise SystemExit(f"the run failed:\n{said[-3000:]}")
    return process.returncode != 0, epochs_begun(said)


def content(root: Path) -> dict[str, bytes]:
    """The files that must be equal, by path."""
    return {str(p.relative_to(root)): p.read_bytes() for name in FILES for p in root.glob(f"*/{name}")}


def names(root: Path) -> set[str]:
    """Every file and folder of a store."""
    return {str(p.relative_to(root)) for p in root.rglob("*")}


def compared(root: Path, base: Path, said: str) -> None:
    """Print how a store compares with the undisturbed one. Raises SystemExit when it differs."""
    equal, stray = content(root) == content(base), sorted(names(root) - names(base))
    print(f"{said}; bytes {'equal' if equal else 'DIFFER'}; stray files {stray or 'none'}", flush=True)
    if not equal or stray:
        raise SystemExit(1)


def one_after_the_other(folder: Path, base: Path, kills: int, jobs: list[int], draw: random.Random) -> None:
    """Kills of one command that goes on and on, with the numbers of jobs in turn."""
    seconds, epochs = whole(base, 0)
    print(f"undisturbed: {seconds:.0f} s, {epochs} epochs, {len(content(base))} files", flush=True)
    done, turn, again, rounds = 0, 0, 0, 0
    while done < kills:
        rounds += 1
        root, here, begun, over = folder / f"round{rounds}", 0, 0, False
        while not over and done + here < kills:
            hit, more = killed(root, jobs[turn % len(jobs)], draw.uniform(0.0, seconds))
            turn, here, begun, over = turn + 1, here + hit, begun + more, not hit
        if not over:
            begun += whole(root, jobs[turn % len(jobs)])[1]
        done, again = done + here, again + begun - epochs
        compared(root, base, f"round {rounds}: {here} kills, {begun - epochs} epochs done twice")
    print(f"{done} kills in {rounds} rounds, jobs {jobs} in turn; {again} epochs done twice", flush=True)


def together(folder: Path, base: Path, count: int, dead: int, draw: random.Random) -> None:
    """Several processes on one folder, of which some are killed at random moments; then one more run to the end."""
    if not base.exists():
        whole(base, 0)
    root, began = folder / "together", time.monotonic()
    some = [
        subprocess.Popen(command(root, 0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        for _ in range(count)
    ]
    while not list(root.glob("*/.lease-*")) and any(p.poll() is None for p in some):
        time.sleep(0.05)  # until the first of them works
    hits = 0
    for process in some[:dead]:
        time.sleep(draw.uniform(0.0, 3.0))
        hits += process.poll() is None
        process.kill()
    codes = [process.wait() for process in some]
    whole(root, 0)
    said = f"{count} processes, {hits} of {dead} killed at work, others ended with {sorted(set(codes[dead:]))}"
    compared(root, base, f"{said}, {time.monotonic() - began:.0f} s")


def main() -> None:
    """Run it and print a line a round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--jobs", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--together", type=int, default=0, metavar="N", help="processes on one folder")
    parser.add_argument("--dead", type=int, default=4, metavar="N", help="how many of them are killed")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder, "undisturbed")
        if asked.kills:
            one_after_the_other(Path(folder), base, asked.kills, asked.jobs, draw)
        if asked.together:
            together(Path(folder), base, asked.together, asked.dead, draw)


if __name__ == "__main__":
    main()
