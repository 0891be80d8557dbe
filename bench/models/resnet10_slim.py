"""ResNet-10 with a strided CIFAR stem, 24-48-96-192 wide: robust enough to tell methods apart on one CPU core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class ResNet10Slim(Model):
    """He et al. 2016; one basic block a stage, and a first convolution of stride 2. For studies without a GPU."""

    name = "resnet10-slim"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """192 features."""
        from torchvision.models.resnet import BasicBlock

        from ._resnet import cifar_stem

        return cifar_stem(BasicBlock, [1, 1, 1, 1], image[0], width=24, stride=2)
