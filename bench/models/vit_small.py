"""ViT-S for small images, from scratch: patches of 4x4 pixels (64 of them at 32x32), no resizing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class ViTSmall(Model):
    """The width, depth and heads of ViT-S (Touvron et al. 2021): 12 layers, 6 heads, width 384."""

    name = "vit-small"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """384 features."""
        from ._vit import vision_transformer

        return vision_transformer(image, patch=4, layers=12, heads=6, width=384)
