"""ResNet-10 with a strided CIFAR stem, 16-32-64-128 wide: the most robust accuracy for a core-hour that was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class ResNet10Thin(Model):
    """He et al. 2016; resnet10-slim at two thirds of its width and half its cost. For studies without a GPU."""

    name = "resnet10-thin"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """128 features."""
        from torchvision.models.resnet import BasicBlock

        from ._resnet import cifar_stem

        return cifar_stem(BasicBlock, [1, 1, 1, 1], image[0], width=16, stride=2)
