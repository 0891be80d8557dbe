"""Seconds that `bench report` takes for a store of many cells, made from one stored cell under other names.

python benchmarks/report.py --cells 1000
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench.judge.reference import shipped
from bench.reports import render
from bench.reports.report import make
from bench.store.query import folders


def grow(root: Path, count: int) -> None:
    """`count` cells in `root`, copies of the golden ones as other seeds."""
    originals = [f for f in folders(shipped("golden")) if (f / "per_class.csv").exists()]
    for number in range(count):
        source, seed = originals[number % len(originals)], number // len(originals)
        name = source.name.replace("-s0-", f"-s{seed}-")
        shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("features.npz"))
        for file in ("cell.json", "per_class.csv"):
            text = (root / name / file).read_text(encoding="utf-8").replace(source.name, name)
            text = text.replace(',"seed":0', f',"seed":{seed}').replace(",small-cnn,0,", f",small-cnn,{seed},")
            (root / name / file).write_text(text, encoding="utf-8")


def main() -> None:
    """Print median, minimum and maximum over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "store"
        store.mkdir()
        grow(store, given.cells)
        seconds = []
        for _ in range(given.rounds):
            start = time.process_time()
            render.write(make(store, figures=[]), Path(scratch) / "out", ["html"])
            seconds.append(time.process_time() - start)
    print(f"{given.cells} cells to one HTML page: {statistics.median(seconds):.1f} s of this process "
          f"({min(seconds):.1f} to {max(seconds):.1f}, {given.rounds} rounds)")  # fmt: skip


if __name__ == "__main__":
    main()
