"""What each verb that only looks costs on a results folder of many cells: wall time, processor time, peak memory.

    python benchmarks/large.py                     # 10,000 cells: 500 settings of the golden methods, 20 seeds
    python benchmarks/large.py --cells 1000 --verbs status,report --keep FOLDER

The cells are those that `bench run` makes of the same grid, with the golden cells' counts; each is whole, and as this
version writes it. Every verb is the command a user types, in a process of its own. Judge by processor time where others
use the machine too. This process stays small: a child's peak memory is never less than that of the process it is from.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEEDS = 20
#: what all of the grid's cells share
GRID = ("--datasets", "digitslt", "--irs", "10", "--epochs", "6", "--attacks", "clean,pgd-20")


def methods(count: int) -> list[str]:
    """The golden methods as they are, then TAET with one weight after the other."""
    plain = ["ce", "at", "trades", "mart", "adt", "he", "gairat", "robal", "reat", "at-bsl", "harl", "taet"]
    return [*plain, *(f"taet[alpha={i / 1000:g}]" for i in range(1, count) if i != 100)][:count]


def fill(root: Path, count: int) -> None:
    """That many whole cells, each with the files of the golden cell of its method."""
    from report import copy_as

    from bench.engine.grid import Axes, expand
    from bench.judge.reference import shipped
    from bench.store.folders import read_record
    from bench.store.query import folders
    from bench.store.schema import ROWS

    axes = Axes(
        methods=tuple(methods(-(-count // SEEDS))),
        datasets=("digitslt",),
        irs=("10",),
        epochs=6,
        attacks=("clean", "pgd-20"),
        seeds=tuple(range(SEEDS)),
    )
    own: dict[str, Path] = {}
    for folder in folders(shipped("golden")):
        if (folder / ROWS).exists():
            spec = read_record(folder).made
            if spec.recipe.name == "paper" and spec.model == "small-cnn" and spec.ir == 10:
                own.setdefault(spec.method, folder)
    for task in expand(axes)[:count]:
        copy_as(root, own[task.spec.method], task.spec)


def command(verb: str, root: Path, count: int) -> list[str]:
    """The words after `bench`."""
    grid = ["run", *GRID, "--methods", ",".join(methods(-(-count // SEEDS))),
            "--seeds", ",".join(map(str, range(SEEDS)))]  # fmt: skip
    words = {
        "dry-run": [*grid, "--dry-run"],
        "status": ["status"],
        "ls": ["ls", "cells"],
        "check": ["check", "--allow-missing"],
        "report": ["report", "--output", str(root.parent / "report")],
        "csv": ["report", "--format", "csv", "--output", str(root.parent / "report")],
    }[verb]
    return [*words, "--results", str(root)]


def measured(words: list[str]) -> tuple[float, float, float, int, int]:
    """(wall seconds, processor seconds, peak MiB, exit status, bytes said) of one command."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", "bench", *words], stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        size = said.tell()
    wall = time.perf_counter() - began
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode, size


def main() -> None:
    """Print a line a verb."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--verbs", default="dry-run,status,ls,check,report,csv")
    parser.add_argument("--keep", type=Path, help="make the folder here, or measure the one that is here already")
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fill:
        fill(given.fill, given.cells)
        return
    with tempfile.TemporaryDirectory() as scratch:
        base = given.keep or Path(scratch)
        root = base / "runs"
        if not root.exists():
            root.mkdir(parents=True)
            subprocess.run([sys.executable, __file__, "--fill", str(root), "--cells", str(given.cells)], check=True)
        print(f"{given.cells} cells")
        for verb in given.verbs.split(","):
            wall, cpu, peak, code, size = measured(command(verb, root, given.cells))
            print(
                f"{verb:8} wall {wall:5.1f} s, processor {cpu:5.1f} s, peak {peak:5.0f} MiB, exit status {code}, "
                f"{size / 1024:.0f} KiB said",
                flush=True,
            )


if __name__ == "__main__":
    main()
