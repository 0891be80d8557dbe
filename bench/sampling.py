"""Orders in which an epoch may see its images, for methods and enhancers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def class_aware(labels: Tensor, classes: int, generator: torch.Generator, count: int | None = None) -> Tensor:
    """Indices (int64, on the CPU) of `count` draws in which every C contain each class once (Shen et al., ECCV 2016).

    Classes come in shuffled cycles, the images of a class in shuffled cycles of their own. `labels`: N class indices,
    each class present. `count`: n_max C by default.
    """
    import torch

    labels = labels.cpu()
    images = [(labels == c).nonzero().squeeze(1) for c in range(classes)]
    count = max(map(len, images)) * classes if count is None else count
    cycles = -(-count // classes)
    turns = torch.stack([torch.randperm(classes, generator=generator) for _ in range(cycles)])
    own = torch.stack([_cycled(of_class, cycles, generator) for of_class in images])  # C x cycles
    return own.gather(0, turns.T).T.flatten()[:count]


def _cycled(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the images, shuffled anew whenever all have been taken."""
    import torch

    rounds = -(-count // len(images))
    return torch.cat([images[torch.randperm(len(images), generator=generator)] for _ in range(rounds)])[:count]
