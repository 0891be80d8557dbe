"""ResNet-18 with the CIFAR stem at a quarter of its width (16-32-64-128), for studies on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class ResNet18Thin(Model):
    """He et al. 2016; the same depth and layout as resnet18 at a sixteenth of its cost."""

    name = "resnet18-thin"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """128 features."""
        from torchvision.models.resnet import BasicBlock

        from ._resnet import cifar_stem

        return cifar_stem(BasicBlock, [2, 2, 2, 2], image[0], width=16)
