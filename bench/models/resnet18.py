"""ResNet-18 with the CIFAR stem (3x3 first convolution, no max-pool): the paper's network at 32x32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class ResNet18(Model):
    """He et al. 2016, torchvision's blocks."""

    name = "resnet18"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """512 features."""
        from torchvision.models.resnet import BasicBlock

        from ._resnet import cifar_stem

        return cifar_stem(BasicBlock, [2, 2, 2, 2], image[0])
