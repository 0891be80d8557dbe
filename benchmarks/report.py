"""Seconds that `bench report` takes for a store of many cells, made from one stored cell under other names.

python benchmarks/report.py --cells 1000
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench.config import CellSpec, to_plain
from bench.judge.reference import shipped
from bench.reports import render
from bench.reports.report import make
from bench.seeding import stream_seed
from bench.store.folders import CellFolder, read_cell, read_record
from bench.store.parts.bits import marked
from bench.store.parts.record import understood
from bench.store.query import folders, samples
from bench.store.rows import rows_text
from bench.store.schema import CURVES, FEATURES, ROWS


def grow(root: Path, count: int) -> None:
    """`count` whole cells in `root`: the golden ones as those of other seeds, as this version writes them."""
    originals = [f for f in folders(shipped("golden")) if (f / ROWS).exists()]
    for number in range(count):
        source, seed = originals[number % len(originals)], number // len(originals)
        copy_as(root, source, dataclasses.replace(read_record(source).made, seed=seed))


def copy_as(root: Path, source: Path, spec: CellSpec) -> None:
    """A stored cell with its bits and rows as that of another specification."""
    cell, bits = read_cell(source), samples(source)
    folder = CellFolder(root, spec.id)
    shutil.copytree(source, folder.path, ignore=shutil.ignore_patterns(FEATURES))
    seeds = {stream: stream_seed(spec.seed, stream) for stream in cell["seeds"]}
    cell = marked(cell | {"id": spec.id, "spec": to_plain(spec), "seeds": seeds}, bits)
    cell = folder.put(cell, CURVES, (source / CURVES).read_bytes())
    folder.write(folder.put(cell, ROWS, rows_text(understood(cell), bits)))


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
    print(
        f"{given.cells} cells to one HTML page: {statistics.median(seconds):.1f} s of this process "
        f"({min(seconds):.1f} to {max(seconds):.1f}, {given.rounds} rounds)"
    )


if __name__ == "__main__":
    main()
