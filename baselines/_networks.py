"""Networks that methods train beside the classifier: LAS-AT's strategy network and ADT's generator.

They are built on first use, for the images' channels, and their weights are drawn from the method's own noise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from bench.api import Noise


def build_like(build: Callable[[], nn.Module], x: Tensor) -> nn.Module:
    """`build()` with uninitialised weights on the device and in the type of the images; draws nothing."""
    with torch.device("meta"):
        module = build()
    return module.to(x.dtype).to_empty(device=x.device)


def draw_weights(module: nn.Module, noise: Noise, std: float | None = None) -> nn.Module:
    """Normal weights of deviation `std` (None: 1 / sqrt(3 fan_in)), zero biases, batch norms at the identity."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            fan_in = part.weight[0].numel()
            part.weight.data.copy_(noise.gaussian(part.weight.shape) * (std or (3 * fan_in) ** -0.5))
            if part.bias is not None:
                part.bias.data.zero_()
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()
    return module


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            self.short = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, rectified."""
        inner = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(inner + self.short(x))


class Strategy(nn.Module):
    """CIFAR ResNet-18 of a given width with one linear head for each decision; returns their logits."""

    def __init__(self, channels: int, width: int, options: tuple[int, ...]) -> None:
        super().__init__()
        stem = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        blocks = [
            Residual(widths[stage] if first else widths[stage + 1], widths[stage + 1], 2 if first and stage else 1)
            for stage in range(4)
            for first in (True, False)
        ]
        self.trunk = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.heads = nn.ModuleList(nn.Linear(8 * width, size) for size in options)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits of each head (N x options)."""
        features = self.trunk(x)
        return [head(features) for head in self.heads]


class Generator(nn.Module):
    """Three residual blocks (w, 2w, 2w, w channels) between 3x3 convolutions, from 3 images to (mu, rho)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3 * channels, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            Residual(width, 2 * width),
            Residual(2 * width, 2 * width),
            Residual(2 * width, width),
            nn.Conv2d(width, 2 * channels, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 channels x H x W -> N x 2 channels x H x W."""
        out: Tensor = self.layers(x)
        return out
