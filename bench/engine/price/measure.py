"""How fast one model runs here, measured through the code that a cell runs: `python -m bench.engine.price.measure`.

A fresh process each, so that its peak memory is that of a cell's process. Pairs of tiny cells on noise give the fixed
costs of a cell and of an attack; single training steps at a small and at a full batch give the lines of `Rate`. One
thread on a CPU is timed by the process's own clock, which other work on the machine does not disturb.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.api import Attack, Context, Method
from bench.config import AttackSpec, CellSpec, Precision, Recipe, Request, Task, ThreatModel
from bench.engine.cell import run_cell
from bench.engine.grid import ALL_ATTACKS
from bench.engine.host.memory import peak_memory
from bench.engine.images.invented import invented
from bench.engine.images.planes import planes
from bench.engine.life.settings import Settings
from bench.engine.nets.network import Network, build_network
from bench.engine.nets.weights import weights_mib
from bench.engine.price.rates import Line, Rate
from bench.engine.suite import build, evaluate
from bench.engine.train import train
from bench.engine.verdicts.chunks import EVALUATION_BATCH
from bench.engine.verdicts.oracle import NetworkOracle
from bench.engine.verdicts.results import AttackResult
from bench.errors import BenchError
from bench.registry import registry
from bench.seeding import torch_stream

CLASSES = 10
#: images of a small batch; the full ones are the recipe's and the evaluation's
SMALL, BATCH = 8, 128
#: attack steps between the two trainings whose difference is timed
STEPS = 2
#: images on which attacks are timed whole, and the seconds up to which one is
WHOLE, PATIENCE = 64, 45.0
#: a timing is repeated until it has lasted so long, or so often
SECONDS, TIMES = 0.5, 7


def clock_of(device: torch.device, threads: int) -> Callable[[], float]:
    """The clock that measures this device: a wall clock wherever others than this thread do the work."""
    return time.process_time if device.type == "cpu" and threads == 1 else time.perf_counter


class Plain(Method):
    """Adversarial training reduced to its passes."""

    name = "calibration"

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy."""
        return cross_entropy(model(x_adv), y), {}


class Nothing(Attack):
    """An attack that does nothing, for what every attack costs."""

    name = "calibration"

    def run(self, oracle: Any, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """The images themselves."""
        return x


def measure(
    model: str,
    image: tuple[int, int, int],
    precision: Precision,
    device: str,
    folder: Path,
    *,
    threads: int = 1,
    batch: int = BATCH,
    startup: float = 0.0,
) -> Rate:
    """The rate of a model on images (channels, height, width). `folder`: an empty one for the tiny cells.

    Raises BenchError when a cell fails.
    """
    torch.set_num_threads(threads)
    where = torch.device(device)
    clock = clock_of(where, threads)
    settings = Settings(results=folder / "runs", device=device, threads=threads)
    cell, evaluation, first = tiny_cells(model, image, precision, settings, folder, clock)
    base = peak_memory(where)
    network = build_network(model, image, CLASSES, None, 0)
    step, attack = training_lines(network, model, image, precision, where, batch, clock)
    tested = build_network(model, image, CLASSES, None, 0).to(where)
    forward, gradient = evaluation_lines(tested, image, where, clock)
    peak = peak_memory(where)
    slowdown = attack_slowdowns(tested, image, where, forward, gradient, clock)
    return Rate(
        step,
        attack,
        forward,
        gradient,
        evaluation=evaluation,
        cell=cell,
        startup=startup,
        first=first,
        memory_mib=peak,
        base_mib=base,
        batch=batch,
        weights_mib=weights_mib(network),
        slowdown=slowdown,
    )


def tiny_cells(
    model: str,
    image: tuple[int, int, int],
    precision: Precision,
    settings: Settings,
    folder: Path,
    clock: Callable[[], float],
) -> tuple[float, float, float]:
    """(seconds of a cell without images, of an attack without images, and of the first cell on top of these)."""
    channels, height, width = image
    path, labels = folder / "noise.npz", np.repeat(np.arange(CLASSES), 2)
    pixels = noise(len(labels), image).numpy().reshape(len(labels), height, width, channels)
    np.savez(path, train_images=pixels, train_labels=labels, test_images=pixels, test_labels=labels)
    registry("methods").add(Plain.name, Plain)
    registry("attacks").add(Nothing.name, Nothing)
    recipe = Recipe(epochs=1, full_epochs=1, steps=1, augment="none")
    failures: list[str] = []

    def emit(event: dict[str, Any]) -> None:
        if "message" in event:
            failures.append(event["message"])

    def once(seed: int, *attacks: str) -> float:
        spec = CellSpec(Plain.name, f"archive:{path}", None, model, seed, recipe=recipe, precision=precision)
        began = clock()
        run_cell(Task(spec, Request.product(AttackSpec(name) for name in attacks)), settings, emit)
        return clock() - began

    try:
        first = once(0, "clean", Nothing.name)  # imports, and memory that is taken once
        pairs = [(once(2 * i + 1, "clean"), once(2 * i + 2, "clean", Nothing.name)) for i in range(5)]
    finally:
        registry("methods").discard(Plain.name)
        registry("attacks").discard(Nothing.name)
    if failures:
        raise BenchError(f"model '{model}' cannot be calibrated on images {image}: {failures[0]}")
    evaluation = max(statistics.median(double - single for single, double in pairs), 0.0)
    cell = max(statistics.median(single for single, _ in pairs) - evaluation, 0.0)
    return cell, evaluation, max(first - statistics.median(double for _, double in pairs), 0.0)


def training_lines(
    network: Network,
    model: str,
    image: tuple[int, int, int],
    precision: Precision,
    device: torch.device,
    batch: int,
    clock: Callable[[], float],
) -> tuple[Line, Line]:
    """(one step without attack, one attack step)."""

    def step(images: int, steps: int) -> float:
        """Seconds of a training step, the first aside."""
        data, times, marks = invented(noise(images, image), CLASSES), list[float](), list[float]()
        while sum(times) < SECONDS and len(times) < TIMES:
            recipe = Recipe(epochs=2, full_epochs=2, batch_size=images, steps=steps, lr=1e-4)
            spec = CellSpec(Plain.name, "noise", None, model, 0, recipe=recipe, precision=precision)
            train(spec, data, network, Plain(), device, on_epoch=lambda _: marks.append(clock()))
            times.append(marks[-1] - marks[-2])
        return statistics.median(times)

    points = []
    for images in (SMALL, batch):
        bare = step(images, 0)
        points.append((images, bare, max(step(images, STEPS) - bare, 0.0) / STEPS))
    (n, bare, attacked), (m, bare_full, attacked_full) = points
    return Line.through((n, bare), (m, bare_full)), Line.through((n, attacked), (m, attacked_full))


def evaluation_lines(
    network: Network, image: tuple[int, int, int], device: torch.device, clock: Callable[[], float]
) -> tuple[Line, Line]:
    """(one forward pass, one gradient) of the network as attacks see it."""
    full = EVALUATION_BATCH[device.type]
    x = planes(noise(full, image).to(device), torch.float32)
    y = torch.arange(full, device=device) % CLASSES
    with NetworkOracle(network, CLASSES, probe=x[:SMALL]) as oracle:

        def gradient(images: int) -> Callable[[], object]:
            return lambda: oracle.gradient(x[:images], lambda z: cross_entropy(z, y[:images], reduction="sum"))

        def forward(images: int) -> Callable[[], object]:
            return lambda: oracle.logits(x[:images])

        lines = [
            Line.through((SMALL, timed(code(SMALL), device, clock)), (full, timed(code(full), device, clock)))
            for code in (forward, gradient)
        ]
    return lines[0], lines[1]


def attack_slowdowns(
    network: Network,
    image: tuple[int, int, int],
    device: torch.device,
    forward: Line,
    gradient: Line,
    clock: Callable[[], float],
) -> dict[str, float]:
    """Measured seconds of every attack of the protocol over those of its passes, where that is quick to find out.

    The radius is so small that every image resists, as the costly ones do.
    """
    x = noise(WHOLE, image)
    network.eval()
    with torch.no_grad():
        y = network(planes(x.to(device), torch.float32)).argmax(1).cpu()
    threat, found = ThreatModel(eps=1e-5), dict[str, float]()
    alone, both = forward.seconds(WHOLE, WHOLE), gradient.seconds(WHOLE, WHOLE)

    def whole(*names: str) -> tuple[float, dict[str, AttackResult]]:
        began = clock()
        attacks = evaluate(
            network,
            x,
            y,
            torch.arange(WHOLE),
            [AttackSpec(name) for name in names],
            threat=threat,
            num_classes=CLASSES,
            root_seed=0,
            device=device,
        ).attacks
        return clock() - began, attacks

    whole()
    bare = statistics.median(whole()[0] for _ in range(3))
    for name in ALL_ATTACKS:
        forwards, backwards = build(AttackSpec(name), threat, CLASSES).passes()
        if backwards * both + max(forwards - backwards, 0.0) * alone > PATIENCE:
            continue
        taken, results = whole(name)
        passes = results[name]
        forwards, backwards = passes.total("forwards") / WHOLE, passes.total("backwards") / WHOLE
        expected = backwards * both + max(forwards - backwards, 0.0) * alone
        if expected and taken > bare:
            found[name] = (taken - bare) / expected
    return found


def timed(code: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    """Median seconds of one call, the first aside."""
    code()
    times = list[float]()
    while sum(times) < SECONDS and len(times) < 4 * TIMES:
        _settle(device)
        began = clock()
        code()
        _settle(device)
        times.append(clock() - began)
    return statistics.median(times)


def noise(count: int, image: tuple[int, int, int]) -> Tensor:
    """uint8 count x height x width x channels."""
    channels, height, width = image
    shape = (count, height, width, channels)
    return torch.randint(256, shape, generator=torch_stream(0, "calibration"), dtype=torch.uint8)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(job: str, answer: str) -> None:
    """Measure what the JSON text `job` says and write the rate, or the error, to the file `answer`."""
    startup = time.process_time()  # what the imports took
    wanted, path = json.loads(job), Path(answer)
    try:
        rate = measure(**wanted | {"image": tuple(wanted["image"]), "folder": path.parent, "startup": startup})
    except BenchError as error:
        path.write_text(json.dumps({"error": str(error)}), encoding="utf-8")
        return
    path.write_text(json.dumps(rate.to_plain()), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
