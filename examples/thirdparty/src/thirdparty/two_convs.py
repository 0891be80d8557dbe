"""Two convs: two convolutions with batch norm (say here what yours is; `bench ls` prints it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, ModelError, register

if TYPE_CHECKING:
    from torch import nn

WIDTH = 32


@register("models")
class TwoConvs(Model):
    """A backbone; the benchmark adds the head, which a method may choose."""

    name = "two-convs"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """(module from N x channels x H x W in [0,1] to N x D features, D)."""
        from torch import nn

        channels, height, width = image
        if min(height, width) < 4:
            raise ModelError(f"two-convs needs images of at least 4x4, not {height}x{width}.")
        layers: list[nn.Module] = []
        for wide, stride in ((WIDTH // 2, 1), (WIDTH, 2)):
            layers += [nn.Conv2d(channels, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
            channels = wide
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten()), 4 * WIDTH
