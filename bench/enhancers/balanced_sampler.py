"""Class-balanced re-sampling: every class is drawn equally often, with replacement; an epoch is as long as before.

Re-sampling may be deferred (Cao et al., NeurIPS 2019): before epoch `begin` images come in the method's own order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.api import Context, Enhancer, register, setting


@register("enhancers")
class BalancedSampler(Enhancer["BalancedSampler.Hparams"]):
    """A class uniformly, then an image of it uniformly."""

    name = "balanced-sampler"
    paper = "common practice"
    formula = "class ~ U{1..C}, then an image of it uniformly, with replacement; n draws an epoch"
    claims = frozenset({"order"})
    off = {"begin": 10000}

    @dataclass(frozen=True)
    class Hparams:
        """When it begins."""

        begin: int = setting(
            0, low=0, later=True, help="first epoch (from 0) of the full-length recipe that is re-sampled"
        )

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """N draws."""
        if context.epoch < context.recipe.epoch_at(self.hp.begin):
            return None
        weights = 1 / context.class_counts.double().cpu()
        return torch.multinomial(weights[labels.cpu()], len(labels), replacement=True, generator=generator)
