"""No attack: the accuracy on the images as they are."""

from __future__ import annotations

from torch import Tensor

from bench.api import Attack, Noise, Oracle, register


@register("attacks")
class Clean(Attack):
    """The image itself."""

    name = "clean"
    norm = "none"
    white_box = False
    strength = 0

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """The images, unchanged."""
        return x
