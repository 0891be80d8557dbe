"""ViT-B/16 at 224x224, from scratch: torchvision's network; images are enlarged inside the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class ViTB16(Model):
    """Dosovitskiy et al. 2021: 12 layers, 12 heads, width 768, patches of 16x16 pixels."""

    name = "vit-b-16"

    def input_size(self, image: tuple[int, int, int]) -> tuple[int, int, int]:
        """224x224."""
        return image[0], 224, 224

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """768 features."""
        from ._vit import vision_transformer

        return vision_transformer(image, patch=16, layers=12, heads=12, width=768)
