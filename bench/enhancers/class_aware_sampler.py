"""Class-aware sampling: Shen et al., ECCV 2016, as in RoBal's re-sampling runs (rs-whole, crt, lws).

Classes come in shuffled cycles, so that every C draws contain each class once; the images of a class come in shuffled
cycles of their own. An epoch has n_max C draws, or as many as the set has images (`length=images`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.api import Context, Enhancer, class_aware, register, setting


@register("enhancers")
class ClassAwareSampler(Enhancer["ClassAwareSampler.Hparams"]):
    """Each class once every C draws."""

    name = "class-aware-sampler"
    paper = "Shen et al., ECCV 2016"
    formula = "classes in shuffled cycles, a class's images in shuffled cycles of their own"
    claims = frozenset({"order"})

    @dataclass(frozen=True)
    class Hparams:
        """How long an epoch is."""

        length: Literal["largest", "images"] = setting("largest", help="n_max C draws, or the number of images")

    def epoch_images(self, counts: Sequence[int]) -> int:
        """N_max C draws, or the number of images."""
        return sum(counts) if self.hp.length == "images" else max(counts) * len(counts)

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """The epoch's draws."""
        return class_aware(labels, context.num_classes, generator, len(labels) if self.hp.length == "images" else None)
