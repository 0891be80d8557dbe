"""Seconds that reading, `bench verify` and `bench publish` take for a store of many cells (see `report.py`).

python benchmarks/stores.py --cells 1000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from report import grow

from bench.judge.verify import verify
from bench.store.copies.publish import publish
from bench.store.results import Results


def seconds(work: Callable[[], object]) -> float:
    """Of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print a line a piece of work; publishing is that after its `verify`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "store"
        store.mkdir()
        grow(store, given.cells)
        work = {
            "read": lambda: Results(store),
            "verify": lambda: verify(store),
            "copy": lambda: publish(store, Path(scratch) / "out"),
        }
        for name, call in work.items():
            print(f"{name} {given.cells} cells: {seconds(call):.1f} s of this process")


if __name__ == "__main__":
    main()
