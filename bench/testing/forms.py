"""Inputs without a random generator: arrays, noise and tiny networks as closed forms of the position k.

value[k] = o + a sin(w k + p + q (k mod 13)^2)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d


def closed_form(
    shape: Sequence[int],
    a: float,
    w: float,
    p: float,
    o: float = 0.0,
    q: float = 0.05,
) -> Tensor:
    """The closed form over the flat C-order index of an array of `shape`, float64."""
    k = torch.arange(math.prod(shape), dtype=torch.float64)
    return (o + a * torch.sin(w * k + p + q * (k % 13) ** 2)).reshape(tuple(shape))


class FormNoise:
    """`bench.api.Noise` of closed forms: gaussian 1.3 b, rand (1 + b) / 2, with b = sin(2.1 k + ...)."""

    def __init__(self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu") -> None:
        self.dtype, self.device, self.draws = dtype, device, 0

    def base(self, shape: Sequence[int]) -> Tensor:
        """B of the next draw."""
        form = closed_form(shape, a=1.0, w=2.1, p=0.7 + 0.9 * self.draws)
        self.draws += 1
        return form.to(device=self.device, dtype=self.dtype)

    def gaussian(self, shape: Sequence[int]) -> Tensor:
        """In place of normal draws."""
        return 1.3 * self.base(shape)

    def subset(self, keep: Tensor) -> FormNoise:
        """The same draws: a closed form does not know images, only shapes."""
        return self

    def rand(self, shape: Sequence[int], draw: int | None = None) -> Tensor:
        """In place of uniform draws in [0, 1]; `draw` is what an evaluation would count, and always the next here."""
        return 0.5 + 0.5 * self.base(shape)

    def uniform(self, shape: Sequence[int], low: float, high: float) -> Tensor:
        """In place of uniform draws in [low, high]."""
        return low + (high - low) * self.rand(shape)


class Trunk(nn.Module):
    """3x3 convolution to 4 channels, batch norm, tanh, 2x2 average pool, flatten."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        """Features N x (4 H/2 W/2)."""
        return avg_pool2d(torch.tanh(self.bn(self.conv(x))), 2).flatten(1)


class Tiny(Trunk):
    """The trunk with a head `fc`; parameters conv.weight, bn.weight, bn.bias, fc.weight[, fc.bias]."""

    def __init__(self, channels: int, head: nn.Module) -> None:
        super().__init__(channels)
        self.fc = head

    @property
    def head(self) -> nn.Module:
        """The head."""
        return self.fc

    def features(self, x: Tensor) -> Tensor:
        """Features N x D."""
        return super().forward(x)

    def forward(self, x: Tensor) -> Tensor:
        """Logits N x C."""
        out: Tensor = self.fc(self.features(x))
        return out


class Split(nn.Module):
    """The trunk as `backbone` with a head `classifier`."""

    def __init__(self, channels: int, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.classifier = Trunk(channels), head

    @property
    def head(self) -> nn.Module:
        """The head."""
        return self.classifier

    def features(self, x: Tensor) -> Tensor:
        """Features N x D."""
        out: Tensor = self.backbone(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Logits N x C."""
        out: Tensor = self.classifier(self.features(x))
        return out


def fill(net: nn.Module, forms: Mapping[str, Mapping[str, Any]], fc_scale: float) -> nn.Module:
    """Overwrite parameters and statistics by their closed forms, the head's times `fc_scale`; float64."""
    net.double()
    values: dict[str, Any] = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    with torch.no_grad():
        for name, tensor in values.items():
            key = name.removeprefix("backbone.").replace("classifier.", "fc.")
            if key in forms:
                tensor.copy_(closed_form(tensor.shape, **forms[key]) * (fc_scale if key.startswith("fc.") else 1.0))
    return net
