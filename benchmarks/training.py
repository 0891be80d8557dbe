"""Training and PGD-20 evaluation of the harness against a published loop, in one interleaved run.

    python benchmarks/training.py [--model resnet18] [--batch 64] [--batches 1] [--steps 10] [--rounds 5] [--threads 2]
                                  [--precisions fp32,bf16] [--compile] [--workers 0] [--evaluation] [--device cpu]
                                  [--clock wall|cpu]
    python benchmarks/training.py --memory     peak memory of a process that trains one batch, one process each
    python benchmarks/training.py --profile    operations of one training step before and after

An epoch of `batches` batches is timed whole: images, augmentation, attack, outer pass, optimiser. All sides start from
the same weights and images; each has a process, ours with the environment of the harness's workers. Speed-ups are
paired round by round and given as minimum / median / maximum.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import torch
from published import Published
from timing import CLOCKS, Served, Variant, interleaved, machine, serve, table

from bench.api import Method
from bench.config import AttackSpec, CellSpec, Recipe, ThreatModel
from bench.engine.host.device import environment
from bench.engine.images.invented import invented
from bench.engine.images.subset import CellData
from bench.engine.nets.network import Network, build_network
from bench.engine.suite import evaluate
from bench.engine.train import train
from bench.engine.verdicts.results import SuiteResult
from bench.registry import registry
from bench.seeding import numpy_stream

CLASSES = 10
#: images of each kind of network: (channels, height, width) and the augmentation that suits them
IMAGES = {"small-cnn": ((1, 8, 8), "none")}
USUAL = ((3, 32, 32), "crop-flip")


def images_for(model: str) -> tuple[tuple[int, int, int], str]:
    """(image shape, augmentation) of a model."""
    return IMAGES.get(model, USUAL)


def data(model: str, count: int) -> CellData:
    """A labelled set of smooth noise: the cost of a step does not depend on what the images show."""
    (channels, height, width), _ = images_for(model)
    rng = numpy_stream(0, "benchmark")
    coarse = rng.integers(0, 256, (count, height // 4, width // 4, channels))
    x = torch.from_numpy(np.kron(coarse, np.ones((1, 4, 4, 1))).astype(np.uint8))
    return invented(x, CLASSES)


def network(model: str) -> Network:
    """The same initial network for everybody."""
    return build_network(model, images_for(model)[0], CLASSES, None, 0)


def peer(options: argparse.Namespace) -> Published:
    """The published loop on the same data."""
    held = data(options.model, options.batch * options.batches)
    return Published(
        network(options.model),
        held.train_images.numpy(),
        held.train_labels.numpy(),
        options.batch,
        lr=0.01,
        steps=options.steps,
        workers=options.workers,
        flip=images_for(options.model)[1] != "none",
        device=options.device,
    )


def ours(options: argparse.Namespace, precision: str, compiled: bool = False) -> Callable[[], float]:
    """Seconds of a second epoch of the harness's own loop."""
    held = data(options.model, options.batch * options.batches)
    recipe = Recipe(
        epochs=2,
        full_epochs=2,
        batch_size=options.batch,
        steps=options.steps,
        lr=0.01,
        augment=images_for(options.model)[1],
    )
    spec = CellSpec("at-bsl", "noise", None, options.model, 0, recipe=recipe, precision=precision, compile=compiled)
    cls = registry("methods").get("at-bsl")
    net = network(options.model)

    def epoch() -> float:
        method: Method = cls()
        marks: list[float] = []
        train(
            spec,
            held,
            net,
            method,
            torch.device(options.device),
            on_epoch=lambda _: marks.append(CLOCKS[options.clock]()),
        )
        return marks[1] - marks[0]

    return epoch


def training(options: argparse.Namespace) -> str:
    """The table of training."""
    sides = {"published fp32": apart("published", options)}
    for precision in options.precisions.split(","):
        for name in (precision, f"{precision}-compiled")[: 1 + options.compile]:
            sides[f"harness {name}"] = apart(name, options)
    return table(interleaved(sides, options.rounds), "published fp32")


def variant(name: str, options: argparse.Namespace) -> Variant:
    """One side by its name: `published`, or a precision of ours, with `-compiled` or without."""
    if name == "published":
        old = peer(options)

        def published() -> None:
            old.epoch()

        return published
    precision, _, compiled = name.partition("-")
    return ours(options, precision, compiled=bool(compiled))


def apart(name: str, options: argparse.Namespace) -> Served:
    """The side in a process of its own."""
    words = [__file__, "--serve", name]
    for option in ("model", "batch", "batches", "steps", "threads", "workers", "device", "clock"):
        words += [f"--{option}", str(getattr(options, option))]
    return Served(words, None if name == "published" else environment(options.threads))


def evaluation(options: argparse.Namespace) -> str:
    """The table of PGD-20 evaluation, verdicts included."""
    held, old = data(options.model, options.batch), peer(options)
    x, y = held.test_images.permute(0, 3, 1, 2) / 255, held.test_labels
    net = network(options.model).to(options.device).eval()

    def harness() -> float:
        began = CLOCKS[options.clock]()
        suite(held, net, options)
        return CLOCKS[options.clock]() - began

    def published() -> None:
        old.evaluate(x, y)

    sides = {"published fp32": published, "harness fp32": harness}
    return table(interleaved(sides, options.rounds, clock=options.clock), "published fp32")


def suite(held: CellData, net: Network, options: argparse.Namespace) -> SuiteResult:
    """The attack suite on all images."""
    index = held.splits["long-tailed"]
    return evaluate(
        net,
        held.test_images,
        held.test_labels,
        index,
        [AttackSpec("pgd-20")],
        threat=ThreatModel(),
        num_classes=CLASSES,
        root_seed=0,
        device=options.device,
    )


def memory(options: argparse.Namespace) -> str:
    """Peak resident MiB of fresh processes."""
    lines = ["| process | peak MiB |", "|---|---|"]
    for name in ("import", "published", *options.precisions.split(",")):
        where = None if name == "published" else environment(options.threads)
        words = [sys.executable, __file__, "--only", name, "--model", options.model, "--batch", str(options.batch),
                 "--threads", str(options.threads), "--steps", "2"]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=where)
        lines.append(f"| {name} | {float(done.stdout):.0f} |")
    return "\n".join(lines)


def alone(options: argparse.Namespace) -> float:
    """Peak MiB of this process after what `--only` names."""
    if options.only == "published":
        old = peer(options)
        old.epoch(), old.epoch()  # two, as the harness's side runs
    elif options.only != "import":
        ours(options, options.only)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def profile(options: argparse.Namespace) -> str:
    """The dearest operations of one step, before and after."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    parts = []
    runs: dict[str, Callable[[], object]] = {"published fp32": peer(options).epoch}
    runs |= {f"harness {p} (two epochs)": ours(options, p) for p in options.precisions.split(",")}
    for name, run in runs.items():
        run()
        with record(activities=[ProfilerActivity.CPU]) as seen:
            run()
        events = seen.key_averages()
        total = sum(e.self_cpu_time_total for e in events)
        dearest = sorted(events, key=lambda e: -e.self_cpu_time_total)[:8]
        parts.append(f"{name}: {total / 1e6:.2f} s")
        parts += [f"    {e.self_cpu_time_total / total:6.1%} {e.count:6d} calls  {e.key}" for e in dearest]
    return "\n".join(parts)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="processes of the published loop's DataLoader")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="cpu: for one thread on a busy machine")
    for flag in ("compile", "evaluation", "memory", "profile"):
        parser.add_argument(f"--{flag}", action="store_true")
    for hidden in ("only", "serve"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    if options.serve:
        serve(variant(options.serve, options), options.clock)
        return
    if options.only:
        print(alone(options))
        return
    setting = f"{options.model}, batch {options.batch}, {options.steps} attack steps, {options.rounds} rounds"
    print(f"{setting}, {options.clock} clock; {machine(options.device)}")
    chosen = [job for job in (evaluation, memory, profile) if getattr(options, job.__name__)] or [training]
    for job in chosen:
        print(job(options))


if __name__ == "__main__":
    main()
