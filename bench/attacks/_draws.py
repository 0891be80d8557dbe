"""Where AutoAttack's random numbers come from: the image itself, or the order of the authors' program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Draws(Protocol):
    """Uniform draws in [0, 1) for some images of a batch, named by their positions in it."""

    def each(self, alive: Tensor, shape: Sequence[int]) -> Tensor:
        """A draw of `shape` for every image: len(alive) x shape."""

    def windows(self, alive: Tensor, queries: int, size: int) -> Tensor:
        """`size` numbers for each of the next queries of a random search: queries x (len(alive) or 1) x size."""


class ImageDraws:
    """Each image has its own numbers, whatever else is in the batch; `noise` is a `CounterNoise`."""

    def __init__(self, noise: Any) -> None:
        self.noise, self.count = noise, 0

    def each(self, alive: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Draws`."""
        self.count += 1
        drawn: Tensor = self.noise.subset(alive).rand((len(alive), *shape), self.count - 1)
        return drawn

    def windows(self, alive: Tensor, queries: int, size: int) -> Tensor:
        """See `Draws`."""
        return self.each(alive, (queries, size)).transpose(0, 1)


class ReferenceDraws:
    """The numbers the authors' program draws: one sequential generator a batch, one window a query for all images."""

    def __init__(self, seed: int, like: Tensor) -> None:
        self.generator, self.like = torch.Generator().manual_seed(seed), like

    def each(self, alive: Tensor, shape: Sequence[int]) -> Tensor:
        """See `Draws`."""
        return torch.rand((len(alive), *shape), generator=self.generator, dtype=torch.float32).to(self.like)

    def windows(self, alive: Tensor, queries: int, size: int) -> Tensor:
        """See `Draws`."""
        return torch.rand((queries, 1, size), generator=self.generator, dtype=torch.float32).to(self.like)
