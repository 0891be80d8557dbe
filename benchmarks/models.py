"""What each network costs, for `bench ls models`: writes bench/models/facts.csv.

    python benchmarks/models.py [--measure]

All with a linear head for 10 classes on 32x32 RGB images as the network takes them: parameters; GFLOP of one image's
forward pass (2 a multiply-add, torch's FlopCounterMode); MiB of the tensors alive at the peak of one fp32 SGD training
step at batch 128, counted without running it (no convolution workspace, no allocator waste). With `--measure`, also the
peak that the CUDA device here reports for that step; where it was not measured the column is empty.
"""

from __future__ import annotations

import csv
import sys
import weakref
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench.engine.nets.network import Network, assemble
from bench.errors import UsageError
from bench.registry import registry
from bench.seeding import isolated
from bench.sizes import BATCH, CLASSES, IMAGE, Facts


def parameters(name: str) -> int:
    """Parameters with a linear head for 10 classes; no weight is allocated."""
    return sum(p.numel() for p in _network(name, "meta").parameters())


def gflop_forward(name: str) -> float:
    """GFLOP of one image's forward pass, counted from shapes."""
    net = _network(name, "meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, *IMAGE, device="meta"))
    return float(counter.get_total_flops()) / 1e9


def tensors_mib(name: str) -> float:
    """MiB of all tensors alive at the peak of a training step, counted from shapes."""
    alive: dict[int, int] = {}
    now = peak = 0

    def drop(key: int) -> None:
        nonlocal now
        now -= alive.pop(key, 0)

    def see(tensor: torch.Tensor) -> None:
        nonlocal now, peak
        storage = tensor.untyped_storage()
        if id(storage) not in alive:
            alive[id(storage)] = storage.nbytes()
            now += storage.nbytes()
            weakref.finalize(storage, drop, id(storage))
        peak = max(peak, now)

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Sees every tensor that an operation returns."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for part in out if isinstance(out, (tuple, list)) else (out,):
                if isinstance(part, torch.Tensor):
                    see(part)
            return out

    net = _network(name, "meta").train()
    for tensor in (*net.parameters(), *net.buffers()):
        see(tensor)
    with Watch():  # type: ignore[no-untyped-call]
        _train_step(net, "meta")
    return peak / 2**20


def measured_mib(name: str) -> tuple[float, str]:
    """(MiB, device name): the largest allocation that the CUDA device reports for a training step."""
    net = _network(name, "cpu").train().to("cuda")
    torch.cuda.reset_peak_memory_stats()
    _train_step(net, "cuda")
    return torch.cuda.max_memory_allocated() / 2**20, torch.cuda.get_device_name()


def _train_step(net: Network, device: str) -> None:
    """Two SGD steps, so that the momentum buffers exist in the second."""
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, foreach=False)
    images = torch.zeros(BATCH, *IMAGE, device=device)
    for _ in range(2):
        optimiser.zero_grad(set_to_none=True)
        net(images).square().mean().backward()
        optimiser.step()


def _network(name: str, device: str) -> Network:
    with isolated(0, "init"), torch.device(device):
        return assemble(name, IMAGE, CLASSES, None).eval()


def main(arguments: list[str]) -> None:
    """Write the table of all models that need no argument."""
    rows = []
    for name in registry("models").names():
        try:
            registry("models").get(name)().input_size(IMAGE)
        except UsageError:  # it cannot be had without an argument
            continue
        mib, device = measured_mib(name) if "--measure" in arguments else (None, "")
        counted = [parameters(name), f"{gflop_forward(name):.4f}", f"{tensors_mib(name):.0f}"]
        rows.append([name, *counted, "" if mib is None else f"{mib:.0f}", device])
    target = Path(str(files("bench.models"))) / "facts.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("model", *Facts._fields), *rows])


if __name__ == "__main__":
    main(sys.argv[1:])
