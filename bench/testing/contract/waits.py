"""Nothing inside an epoch waits for the device: operations at which a GPU's host would wait, counted on a CPU."""

from __future__ import annotations

import collections
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from bench.api import Context, Method
from bench.config import CellSpec, make
from bench.engine.grid import settle
from bench.engine.images.subset import CellData
from bench.engine.nets.network import build_network
from bench.engine.train import train
from bench.seeding import torch_stream
from bench.testing.contract import require

#: reading a value, or making a result whose shape depends on values
WAITS = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique_dim", "_unique2", "bincount", "equal",
         "multinomial"}  # fmt: skip


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations at which the host of a GPU would wait."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Note the operation and run it."""
        name = func.overloadpacket.__name__
        masks = [t for t in (args[1] if name in ("index", "index_put", "index_put_") else []) if t is not None]
        if name == "_local_scalar_dense" and in_an_optimiser():
            return func(*args, **(kwargs or {}))  # its step counts are on the CPU on every device
        if name in WAITS or any(t.dtype in (torch.bool, torch.uint8) for t in masks):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def in_an_optimiser() -> bool:
    """Whether torch's own optimisers are what runs now."""
    frame = sys._getframe(1)
    while frame is not None and not frame.f_globals.get("__name__", "").startswith("torch.optim"):
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


def noise_data(n: int) -> CellData:
    """A labelled set of n noise images, 8 x 8 x 1, of four classes, as a cell's data."""
    x = (torch.rand(n, 8, 8, 1, generator=torch_stream(0, "x")) * 255).to(torch.uint8)
    y, index = torch.arange(n) % 4, torch.arange(n)
    counts = tuple(int(c) for c in y.bincount(minlength=4))
    return CellData(
        train_images=x, train_labels=y, train_index=index, test_images=x, test_labels=y, splits={"long-tailed": index},
        class_names=tuple("abcd"), native_labels=(0, 1, 2, 3), train_counts=counts,
        test_counts={"long-tailed": counts}, source="noise", data_hash="0", subset_hash="0",
    )  # fmt: skip


class Plain(Method):
    """Adversarial training and nothing else: how often the loop itself waits."""

    name = "plain"

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy."""
        return cross_entropy(model(x_adv), y), {}


def tiny_cell(cls: type[Method], settings: Mapping[str, Any]) -> tuple[CellSpec, Method]:
    """(cell, method object) of two epochs with two attack steps on batches of eight."""
    short = {"batch_size": 8, "steps": 2, "augment": "none", "lr": 1e-3}
    recipe, hparams, _ = settle(cls, {**short, **settings}, "paper", 2)
    spec = CellSpec(cls.name, "noise", 10.0, "small-cnn", 0, recipe=recipe, hparams=hparams)
    return spec, cls(make(cls.Hparams, dict(hparams), cls.name))


def waits(cls: type[Method], settings: Mapping[str, Any], images: int) -> collections.Counter[str]:
    """Operations of a tiny cell at which a host would wait."""
    spec, method = tiny_cell(cls, settings)
    network = build_network("small-cnn", (1, 8, 8), 4, method.build_head, 0)
    with Counter() as counter:
        train(spec, noise_data(images), network, method, torch.device("cpu"))
    return collections.Counter(counter.found)


def added(cls: type[Method], settings: Mapping[str, Any]) -> collections.Counter[str]:
    """What six more steps add."""
    return waits(cls, settings, 32) - waits(cls, settings, 8)


def waits_for_nothing(cls: type[Method], settings: Mapping[str, Any]) -> None:
    """A step of the method adds no wait to those of the loop, unless the class says why (`Method.waits`)."""
    more = added(cls, settings) - added(Plain, {})
    said = ", ".join(f"{name} {count} times in six steps" for name, count in sorted(more.items()))
    if cls.waits:
        require(more, f"`waits` of {cls.__name__} gives a reason, and no step waits; leave it out.")
        return
    require(not more, f"a step waits for the device ({said}); compute it on the device, or say why in `waits`.")
