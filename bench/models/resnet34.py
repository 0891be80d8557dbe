"""ResNet-34 with the CIFAR stem (3x3 first convolution, no max-pool)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class ResNet34(Model):
    """He et al. 2016, torchvision's blocks."""

    name = "resnet34"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """512 features."""
        from torchvision.models.resnet import BasicBlock

        from ._resnet import cifar_stem

        return cifar_stem(BasicBlock, [3, 4, 6, 3], image[0])
