"""WideResNet-34-10 for 32x32 images (46.2 M parameters)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Model, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class WRN34(Model):
    """Zagoruyko and Komodakis 2016."""

    name = "wrn-34-10"

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """640 features."""
        from ._preact import WideResNet

        return WideResNet(34, 10, image[0]), 640
