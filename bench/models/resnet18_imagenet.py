"""ResNet-18 with the ImageNet stem at 224x224, as the released notebooks build it; random initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class ResNet18ImageNet(Model):
    """He et al. 2016, torchvision's network as it is."""

    name = "resnet18-imagenet"

    def input_size(self, image: tuple[int, int, int]) -> tuple[int, int, int]:
        """224x224, as the stem was made for."""
        return image[0], 224, 224

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """512 features."""
        from torchvision.models import resnet18

        from ._resnet import imagenet_stem

        return imagenet_stem(resnet18, image[0])
