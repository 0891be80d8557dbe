"""Class-aware sampling: Shen et al., ECCV 2016, as in RoBal's re-sampling runs (rs-whole, crt, lws).

Classes come in shuffled cycles, so that every C draws contain each class once; the images of a class come in shuffled
cycles of their own. An epoch has n_max C draws, or as many as the set has images (`length=images`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.api import Context, Enhancer, register, setting


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

    def order(self, labels: Tensor, context: Context, generator: torch.Generator) -> Tensor | None:
        """The epoch's draws."""
        labels, classes = labels.cpu(), context.num_classes
        images = [(labels == c).nonzero().squeeze(1) for c in range(classes)]
        largest = max(map(len, images))
        count = largest * classes if self.hp.length == "largest" else len(labels)
        cycles = -(-count // classes)
        turns = torch.stack([torch.randperm(classes, generator=generator) for _ in range(cycles)])
        own = torch.stack([_cycled(of_class, cycles, generator) for of_class in images])  # C x cycles
        return own.gather(0, turns.T).T.flatten()[:count]


def _cycled(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the images, shuffled anew whenever all have been taken."""
    rounds = -(-count // len(images))
    return torch.cat([images[torch.randperm(len(images), generator=generator)] for _ in range(rounds)])[:count]
