"""How the radius of `digitslt` was chosen: plain and adversarial training at several radii, clean and PGD-20 accuracy.

    python benchmarks/digits_radius.py [--eps 0.1,0.2,0.3] [--irs 10,50] [--seeds 0] [--epochs 30]

The wanted radius takes an undefended network to about zero under PGD-20 and leaves adversarial training a useful part.
Test images: the balanced split.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import pandas as pd

from bench.config import ThreatModel
from bench.engine.executors.inline import Inline
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("--eps", "0.1,0.2,0.3"), ("--irs", "10,50"), ("--seeds", "0")):
        parser.add_argument(name, default=default)
    parser.add_argument("--epochs", type=int, default=30)
    given = parser.parse_args()
    axes = Axes(
        methods=("ce", "at"),
        datasets=("digitslt",),
        irs=tuple(given.irs.split(",")),
        seeds=tuple(int(s) for s in given.seeds.split(",")),
        attacks=("clean", "pgd-20"),
        test_splits=("balanced",),
        epochs=given.epochs,
    )
    cells = [
        dataclasses.replace(task, spec=dataclasses.replace(task.spec, threat=ThreatModel(float(eps))))
        for eps in given.eps.split(",")
        for task in expand(axes, None)
    ]
    with tempfile.TemporaryDirectory() as folder:
        Inline().run(cells, Settings(results=Path(folder)), lambda _event: None)
        rows = pd.concat(pd.read_csv(path) for path in Path(folder).glob("*/per_class.csv"))
    rows = rows[rows.attack != "worst"].assign(accuracy=lambda t: 100 * t.correct / t.n)
    table = rows.groupby(["eps", "ir", "method", "attack"]).accuracy.mean().unstack(["method", "attack"])
    print(f"balanced accuracy in percent, {given.epochs} epochs, seeds {given.seeds}")
    print(table.round(1).to_string())


if __name__ == "__main__":
    main()
