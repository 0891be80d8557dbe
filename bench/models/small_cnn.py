"""Small network for 8x8 to 32x32 images: three convolutions with batch norm, the default of the embedded digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, ModelError, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class SmallCNN(Model):
    """Widths 16, 32, 64; the second and third convolution halve the side; global average."""

    name = "small-cnn"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """64 features."""
        from torch import nn

        channels, height, width = image
        if min(height, width) < 8:
            raise ModelError(f"small-cnn needs images of at least 8x8, not {height}x{width}.")
        layers: list[nn.Module] = []
        for wide, stride in ((16, 1), (32, 2), (64, 2)):
            layers += [nn.Conv2d(channels, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
            channels = wide
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels
