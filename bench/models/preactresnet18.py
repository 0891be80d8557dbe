"""PreActResNet-18 for 32x32 images, with batch norm and ReLU before the pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class PreActResNet18(Model):
    """He et al. 2016, Identity mappings in deep residual networks."""

    name = "preactresnet18"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """512 features."""
        from ._preact import PreActResNet

        return PreActResNet([2, 2, 2, 2], image[0]), 512
