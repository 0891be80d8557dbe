"""LWS, learnable weight scaling: Kang et al., Decoupling Representation and Classifier, ICLR 2020.

As a baseline of RoBal's paper, a second stage after a plain adversarial training, L = CE(z(x'), y) with

    z_c = s_c <f, w_c>

where one scale per class (from 1 on) is all that is trained, on class-aware batches for one epoch of n_max C draws at
rate 0.1; the bias is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from bench.api import Context, Recipe, class_aware, register

from ._robal import SecondStage


class ScaledRows(nn.Linear):
    """Rows with a factor each (length C), without bias."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes, bias=False)
        self.scale = nn.Parameter(torch.ones(classes))

    def forward(self, features: Tensor) -> Tensor:
        """s_c <f, w_c>: N x C."""
        return self.scale * linear(features, self.weight)


@register("methods")
class Lws(SecondStage["Lws.Hparams"]):
    """A scale for each class of a finished classifier."""

    name = "lws"
    formula = "L = CE(s <f(x'), w>, y) over s alone,  x' from x + eps U(0,1), class-aware batches"

    def build_head(self, features: int, classes: int) -> nn.Module:
        """The head with scales."""
        return ScaledRows(features, classes)

    def rate(self, name: str, context: Context) -> float:
        """Only the scales learn; weight decay acts on them too."""
        return 1.0 if name == "head.scale" else 0.0

    def epoch_images(self, counts: Sequence[int], recipe: Recipe) -> float:
        """N_max C draws."""
        return max(counts) * len(counts)

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """Every C draws hold each class once."""
        return class_aware(labels, context.num_classes, generator)
