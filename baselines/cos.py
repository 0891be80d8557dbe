"""Cosine head: normalised features and weights, in adversarial training; a baseline of RoBal's paper.

    L = CE(z(x'), y),   z_c = scale <f/|f|, w_c/|w_c|>

The attack and the test see the same logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.api import register, setting

from ._robal import OneSided, cosines


class CosineLinear(nn.Module):
    """Scale times the cosine between features (N x D) and the rows of `weight` (C x D)."""

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.uniform_(torch.empty(classes, features), -(features**-0.5), features**-0.5))
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Logits N x C."""
        return self.scale * cosines(features, self.weight)


@register("methods")
class Cosine(OneSided["Cosine.Hparams"]):
    """Cross-entropy of scaled cosines."""

    name = "cos"
    formula = "L = CE(scale cos(f(x'), w), y),  x' from x + eps U(0,1)"
    needs = frozenset()

    @dataclass(frozen=True)
    class Hparams:
        """The scale."""

        scale: float = setting(16.0, above=0.0, help="factor of the cosines")

    def build_head(self, features: int, classes: int) -> nn.Module:
        """The cosine head."""
        return CosineLinear(features, classes, self.hp.scale)
