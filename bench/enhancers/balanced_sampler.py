"""Class-balanced re-sampling: every class is drawn equally often, with replacement; an epoch is as long as before."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import Context, Enhancer, register


@register("enhancers")
class BalancedSampler(Enhancer["BalancedSampler.Hparams"]):
    """A class uniformly, then an image of it uniformly."""

    name = "balanced-sampler"
    paper = "common practice"
    formula = "class ~ U{1..C}, then an image of it uniformly, with replacement; n draws an epoch"
    claims = frozenset({"order"})

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """N draws."""
        weights = 1 / context.class_counts.double().cpu()
        return torch.multinomial(weights[labels.cpu()], len(labels), replacement=True, generator=generator)
