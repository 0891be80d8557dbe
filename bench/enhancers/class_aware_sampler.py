"""Class-aware sampling: Shen et al., ECCV 2016, as in RoBal's re-sampling runs (rs-whole, crt, lws).

Classes come in shuffled cycles, so that every C draws contain each class once; the images of a class come in shuffled
cycles of their own. An epoch has n_max C draws, or as many as the set has images (`length=images`).

Re-sampling may be deferred (Cao et al., NeurIPS 2019): before epoch `begin` images come in the method's own order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.api import Context, Enhancer, Recipe, class_aware, register, setting


@register("enhancers")
class ClassAwareSampler(Enhancer["ClassAwareSampler.Hparams"]):
    """Each class once every C draws."""

    name = "class-aware-sampler"
    paper = "Shen et al., ECCV 2016"
    formula = "classes in shuffled cycles, a class's images in shuffled cycles of their own"
    claims = frozenset({"order"})
    off = {"begin": 10000}

    @dataclass(frozen=True)
    class Hparams:
        """How long an epoch is, and when it begins."""

        length: Literal["largest", "images"] = setting("largest", help="n_max C draws, or the number of images")
        begin: int = setting(
            0, low=0, later=True, help="first epoch (from 0) of the full-length recipe that is re-sampled"
        )

    def epoch_images(self, counts: Sequence[int], recipe: Recipe) -> float:
        """N_max C draws, or the number of images; before the beginning that number."""
        longer = 0 if self.hp.length == "images" else max(counts) * len(counts) - sum(counts)
        return sum(counts) + recipe.share_from(self.hp.begin) * longer

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """The epoch's draws."""
        if context.epoch < context.recipe.epoch_at(self.hp.begin):
            return None
        return class_aware(labels, context.num_classes, generator, len(labels) if self.hp.length == "images" else None)
