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
from bench.testing.contract import require
from bench.testing.contract.loop import noise_data as noise_data
from bench.testing.contract.loop import run
from bench.testing.contract.loop import tiny_cell as tiny_cell

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


class Plain(Method):
    """Adversarial training and nothing else: how often the loop itself waits."""

    name = "plain"

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy."""
        return cross_entropy(model(x_adv), y), {}


def waits(cls: type[Method], settings: Mapping[str, Any], images: int) -> collections.Counter[str]:
    """Operations of a tiny cell at which a host would wait."""
    spec, method = tiny_cell(cls, settings)
    with Counter() as counter:
        run(spec, method, images)
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
