"""Total time of a small grid: `--jobs auto` against one cell after another, and what the estimate had said.

    python benchmarks/grid.py [--methods at,trades,mart,gairat] [--epochs 10] [--attacks clean,fgsm,pgd-20] [--rounds 3]
    python benchmarks/grid.py --predict    one process only: predicted and measured seconds and memory
                                           (needs `bench doctor --calibrate --models NAMES` before)

Every run is the command line a user types, with a results folder of its own; the order is reversed each round.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import interleaved, machine, table

from bench.config import Task, split_list
from bench.engine.grid import Axes, expand
from bench.engine.host.device import resolve_jobs
from bench.engine.plan import plan
from bench.engine.price.cost import estimate
from bench.store.results import Results


def words(options: argparse.Namespace) -> list[str]:
    """The grid as options of `bench run`."""
    chosen = ["--methods", options.methods, "--datasets", options.datasets, "--attacks", options.attacks,
              "--epochs", str(options.epochs), "--seeds", options.seeds, "--device", options.device]  # fmt: skip
    for name in ("models", "limit", "precision", "data_root"):
        if getattr(options, name):
            chosen += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    return chosen


def run(options: argparse.Namespace, jobs: str, results: Path) -> float:
    """Seconds of `bench run` and of its processes, from the call to its end."""
    clock = {"wall": time.perf_counter, "cpu": children}[options.clock]
    began = clock()
    command = [
        sys.executable,
        "-m",
        "bench",
        "run",
        *words(options),
        "--jobs",
        jobs,
        "--results",
        str(results),
        "--yes",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr or done.stdout)
    return clock() - began


def children() -> float:
    """Processor seconds of all processes started from here that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tasks(options: argparse.Namespace) -> list[Task]:
    """The same grid as tasks."""
    axes = Axes(
        methods=tuple(split_list(options.methods)),
        datasets=tuple(split_list(options.datasets)),
        epochs=options.epochs,
        attacks=tuple(split_list(options.attacks)),
        seeds=tuple(int(s) for s in options.seeds.split(",")),
        models=tuple(split_list(options.models or "")),
        limit=options.limit,
        precision=options.precision or "fp32",
    )
    return [task for task in expand(axes, options.data_root) if not task.skip]


def compare(options: argparse.Namespace) -> str:
    """The table of total times."""
    auto = resolve_jobs("auto", options.device, 1)

    def grid(jobs: str) -> float:
        with tempfile.TemporaryDirectory(prefix="bench-grid-") as folder:
            return run(options, jobs, Path(folder))

    sides = {"one after another": lambda: grid("1"), f"--jobs auto ({auto} processes)": lambda: grid("auto")}
    return table(interleaved(sides, options.rounds, warm_up=False), "one after another")


def predict(options: argparse.Namespace) -> str:
    """Predicted and measured seconds and memory of one process."""
    wanted = tasks(options)
    lines = [
        "| round | predicted s | measured s | ratio | predicted MiB | measured MiB | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for round_ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="bench-grid-") as folder:
            cost = estimate(plan(wanted, Path(folder)), Path(folder), options.data_root, options.device)
            if cost.seconds is None or cost.memory_mib is None:
                sys.exit(
                    "nothing is known of this machine; run `bench doctor --calibrate` with the models of the grid."
                )
            seconds = run(options, "1", Path(folder))
            stages = [stage for cell in Results(Path(folder)).cells for stage in cell.stages.values()]
        memory = max(stage.peak_memory_mib or 0.0 for stage in stages)
        lines.append(
            f"| {round_ + 1} | {cost.seconds:.1f} | {seconds:.1f} | {cost.seconds / seconds:.2f} "
            f"| {cost.memory_mib:.0f} | {memory:.0f} | {cost.memory_mib / memory:.2f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="at,trades,mart,gairat")
    parser.add_argument("--datasets", default="digitslt")
    parser.add_argument("--models")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--attacks", default="clean,fgsm,pgd-20")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--precision")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--predict", action="store_true")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: --predict on a busy machine")
    options = parser.parse_args(arguments)
    print(f"{len(tasks(options))} cells: {' '.join(words(options))}; {machine(options.device)}")
    print(predict(options) if options.predict else compare(options))


if __name__ == "__main__":
    main()
