"""Networks around networks: one that counts its calls, one that answers with given arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.errors import UsageError


class Counted(nn.Module):
    """A network whose calls are counted by mode; gives `features` and `head` to networks that name none."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.counts = {"train_mode": 0, "eval_mode": 0, "frozen_train_mode": 0}

    def _count(self) -> None:
        norms = [m for m in self.net.modules() if isinstance(m, _BatchNorm)]
        frozen = self.training and bool(norms) and not any(norm.track_running_stats for norm in norms)
        self.counts["frozen_train_mode" if frozen else "train_mode" if self.training else "eval_mode"] += 1

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self._count()
        out: Tensor = self.net(x)
        return out

    def features(self, x: Tensor) -> Tensor:
        """The network's own features, or else the input of its last linear layer."""
        if not hasattr(self.net, "features"):
            return self._captured(x)
        self._count()
        out: Tensor = self.net.features(x)  # type: ignore[operator]
        return out

    def _captured(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        handle = self.head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
        try:
            self(x)
        finally:
            handle.remove()
        return seen[-1]

    @property
    def head(self) -> nn.Module:
        """The network's own head, or else its last linear layer."""
        own = getattr(self.net, "head", None)
        if isinstance(own, nn.Module):
            return own
        linear = [module for module in self.net.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise UsageError("the network has no head and no linear layer; give it `features(x)` and `head`.")
        return linear[-1]


class Given(nn.Module):
    """A network that answers with given logits and features: `clean` for the token `x`, `adv` for anything else."""

    def __init__(self, leaves: Mapping[str, Any]) -> None:
        super().__init__()
        self.leaves = leaves
        self.x, self.x_adv = torch.zeros(1), torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        """The logits given."""
        name = "clean" if x is self.x else "adv"
        logits: Tensor = needed(self.leaves.get(name), name)
        return logits

    def features(self, x: Tensor) -> Tensor:
        """The features given."""
        given: Tensor = needed(self.leaves.get("features"), "features")
        return given

    def head(self, features: Tensor) -> Tensor:
        """The adversarial logits given."""
        logits: Tensor = needed(self.leaves.get("adv"), "adv")
        return logits


def needed(value: Any, name: str) -> Any:
    """The value, or a UsageError that asks for it."""
    if value is None:
        raise UsageError(f"this loss needs the array `{name}`; give it.")
    return value
