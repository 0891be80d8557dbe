"""What a GPU gives: its peak, one attack step in every form, epochs, whole trainings, AutoAttack.

    python benchmarks/gpu.py [--precisions bf16,tf32,fp32] [--full] [--json FILE] [--data-root DIR]

Without CIFAR-10 in the data folder the images are noise of the same sizes; times of training are the same, the share of
images that resist AutoAttack is not, and the output says so. `--full` runs the 100 epochs of AT and TAET instead of
multiplying the median epoch. Every size can be lowered, so that the script also runs on a CPU (`--tiny`).

FLOP of a pass are counted by torch; achieved TFLOP/s are those of the passes that the method needs, over wall time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from published import Published
from timing import machine
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode
from training import CLASSES, data, network

from bench.config import AttackSpec, CellSpec, Recipe, ThreatModel
from bench.engine.gradients.fast import NetworkGradient
from bench.engine.gradients.graphs import CudaRecorder
from bench.engine.gradients.inner import plain_gradient
from bench.engine.host.memory import peak_memory
from bench.engine.images.subset import CellData, load_data
from bench.engine.suite import evaluate
from bench.engine.train import precision, train
from bench.errors import BenchError
from bench.registry import registry

#: dtype of the operands whose product is the peak of a precision
OPERANDS = {"bf16": torch.bfloat16, "tf32": torch.float32, "fp32": torch.float32}


def settle(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(code: Callable[[], object], device: torch.device, times: int) -> float:
    """Median seconds of one call of five groups of `times` calls; two calls warm up."""
    code(), code()
    found = []
    for _ in range(5):
        settle(device)
        began = time.perf_counter()
        for _ in range(times):
            code()
        settle(device)
        found.append((time.perf_counter() - began) / times)
    return statistics.median(found)


def cell(options: argparse.Namespace, kind: str, method: str, epochs: int) -> CellSpec:
    """CIFAR-10-LT at ratio 10 by the paper's recipe, or fewer epochs of it."""
    recipe = Recipe(epochs=epochs, batch_size=options.batch)
    return CellSpec(method, "cifar10lt", 10.0, options.model, 0, recipe=recipe, precision=kind)


def images(options: argparse.Namespace) -> tuple[CellData, str]:
    """(data, where the pixels come from)."""
    if options.data_root is not None:
        try:
            held = load_data(cell(options, "fp32", "at", 1), options.data_root)
            return held, held.source
        except BenchError as error:
            return data(options.model, options.images), f"noise ({error})"
    return data(options.model, options.images), "noise"


def flop(net: nn.Module, shape: tuple[int, ...]) -> float:
    """FLOP of the forward pass of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, *shape, device=next(net.parameters()).device))
    return float(counter.get_total_flops())


def peak(kind: str, size: int, device: torch.device) -> float:
    """TFLOP/s of a large square product."""
    spec = CellSpec("at", "", None, "", 0, precision=kind)
    a = torch.ones(size, size, device=device, dtype=OPERANDS[kind])
    with precision(spec, device):
        return 2 * size**3 / seconds(lambda: a @ a, device, 10) / 1e12


def steps(options: argparse.Namespace, kind: str, device: torch.device) -> dict[str, dict[str, float]]:
    """One attack step in every form: milliseconds, TFLOP/s."""
    spec = cell(options, kind, "at", 1)
    net = network(options.model).to(device).eval()
    shape = (options.batch, *data(options.model, 1).image)
    x = torch.rand(shape, generator=torch.Generator(device).manual_seed(0), device=device)
    y = torch.arange(options.batch, device=device) % CLASSES
    last = x.contiguous(memory_format=torch.channels_last)
    work = 2 * flop(net, shape[1:]) * options.batch

    def objective(z: Tensor) -> Tensor:
        return cross_entropy(z, y, reduction="sum")

    with precision(spec, device) as autocast, autocast():
        forms: dict[str, Callable[[], object]] = {
            "eager": lambda: plain_gradient(net, x, objective),
            "eager, channels last": lambda: plain_gradient(net, last, objective),
        }
        folded = NetworkGradient(spec, net, x, None)
        folded.refresh()
        forms["folded"] = lambda: folded(net, x, objective)
        if device.type == "cuda":
            recorded = NetworkGradient(spec, net, x, CudaRecorder())
            recorded.refresh()
            forms["folded, recorded"] = lambda: recorded(net, x, objective)
        times = {name: seconds(code, device, options.repeat) for name, code in forms.items()}
    return {name: {"ms": 1e3 * t, "tflops": work / t / 1e12} for name, t in times.items()}


def training(options: argparse.Namespace, kind: str, held: CellData, device: torch.device) -> dict[str, Any]:
    """Seconds of epochs and of whole trainings of AT and TAET, achieved TFLOP/s, peak memory."""
    per_image = flop(network(options.model).to(device), held.image)
    found: dict[str, Any] = {}
    for name in ("at", "taet"):
        spec = cell(options, kind, name, options.epochs if options.full else 5)
        method, net = registry("methods").get(name)(), network(options.model)
        began = time.perf_counter()
        rows = train(spec, held, net, method, device).curves
        whole = time.perf_counter() - began
        phases = {
            phase: [r["seconds"] for r in rows[1:] if r["phase"] == phase] for phase in ("natural", "adversarial")
        }
        epoch = {phase: statistics.median(times) for phase, times in phases.items() if times}
        ten = spec.recipe.steps
        work = {"natural": 3 * per_image, "adversarial": (2 * ten + 3) * per_image}
        clean = spec.recipe.epoch_at(40) / spec.recipe.epochs if "natural" in epoch else 0.0
        found[name] = {
            "epoch_seconds": epoch,
            "tflops": {p: work[p] * len(held.train_labels) / t / 1e12 for p, t in epoch.items()},
            "hundred_epochs_seconds": 100 * ((1 - clean) * epoch["adversarial"] + clean * epoch.get("natural", 0.0)),
            "measured_seconds": whole,
            "measured_epochs": spec.recipe.epochs,
            "peak_memory_mib": peak_memory(device),
        }
        found[name]["network"] = net
    return found


def published(options: argparse.Namespace, held: CellData, device: torch.device) -> float:
    """Seconds of an epoch of the published loop, from a part of the images."""
    part = min(len(held.train_labels), options.batch * options.published_batches)
    old = Published(
        network(options.model),
        held.train_images.numpy()[:part],
        held.train_labels.numpy()[:part],
        options.batch,
        workers=options.workers,
        device=str(device),
    )
    old.epoch()
    settle(device)
    began = time.perf_counter()
    old.epoch()
    settle(device)
    return (time.perf_counter() - began) * len(held.train_labels) / part


def autoattack(options: argparse.Namespace, net: nn.Module, held: CellData, device: torch.device) -> dict[str, float]:
    """Reference AutoAttack of the long-tailed test images."""
    index = held.splits["long-tailed"][: options.aa_images]
    began = time.perf_counter()
    result = evaluate(
        net.to(device),
        held.test_images[index],
        held.test_labels[index],
        index,
        [AttackSpec("aa", options.aa)],
        threat=ThreatModel(),
        num_classes=held.num_classes,
        root_seed=0,
        device=device,
    )
    taken = time.perf_counter() - began
    attack = next(iter(result.attacks.values()))
    return {
        "images": float(len(index)),
        "seconds": taken,
        "clean": float(result.clean.mean()),
        "robust": attack.accuracy,
        "forwards": attack.total("forwards"),
        "backwards": attack.total("backwards"),
    }


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--precisions", default="bf16,tf32,fp32")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=20431, help="training images, where they are noise")
    parser.add_argument("--epochs", type=int, default=100, help="epochs of --full")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--matmul", type=int, default=8192)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--published-batches", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--aa-images", type=int, default=4084)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--steps-only", action="store_true", help="peak and attack step, nothing longer")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, to see that everything runs")
    options = parser.parse_args(words)
    options.aa = ()
    if options.tiny:
        small = {
            "model": "small-cnn",
            "batch": 8,
            "images": 16,
            "epochs": 5,
            "matmul": 64,
            "repeat": 1,
            "aa_images": 4,
            "published_batches": 1,
            "workers": 0,
            "aa": (("queries", 5), ("steps", 3)),
        }
        vars(options).update(small)
    device = torch.device(options.device)
    held, source = images(options)
    report: dict[str, Any] = {"machine": machine(options.device), "pixels": source}
    if not options.steps_only:
        report["published_epoch_seconds"] = published(options, held, device)
    for kind in options.precisions.split(","):
        entry: dict[str, Any] = {
            "peak_tflops": peak(kind, options.matmul, device),
            "attack_step": steps(options, kind, device),
        }
        report[kind] = entry
        if options.steps_only:
            continue
        entry |= training(options, kind, held, device)
        nets = {name: entry[name].pop("network") for name in ("at", "taet")}
        entry["autoattack"] = autoattack(options, nets["at"], held, device)
    text = json.dumps(report, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
