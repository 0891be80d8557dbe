"""cRT, classifier re-training: Kang et al., Decoupling Representation and Classifier, ICLR 2020.

As a baseline of RoBal's paper (rs-fine), a second stage after a plain adversarial training: the classifier alone
learns, L = CE(z(x'), y) on class-aware batches, one epoch of n_max C draws at rate 0.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.api import Context, Recipe, class_aware, register

from ._robal import SecondStage


@register("methods")
class ClassifierRetraining(SecondStage["ClassifierRetraining.Hparams"]):
    """A classifier trained again on balanced batches."""

    name = "crt"
    formula = "L = CE(z(x'), y) over the head alone,  x' from x + eps U(0,1), class-aware batches"

    def rate(self, name: str, context: Context) -> float:
        """Only the head learns."""
        return 1.0 if name.startswith("head.") else 0.0

    def epoch_images(self, counts: Sequence[int], recipe: Recipe) -> float:
        """N_max C draws."""
        return max(counts) * len(counts)

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """Every C draws hold each class once."""
        return class_aware(labels, context.num_classes, generator)
