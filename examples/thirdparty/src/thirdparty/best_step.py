"""Best step: the best of several single steps (say here what yours does; `bench ls` prints it).

From x + U(-eps, eps), one step of eps along the sign of the cross-entropy's gradient; of all tries the image keeps the
one of largest cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.api import Attack, Noise, Oracle, register, setting


@register("attacks")
class BestStep(Attack):
    """Sign steps from random points of the l_inf ball."""

    name = "best-step"
    #: with these the contract runs it
    small = {"tries": 2}

    @dataclass(frozen=True)
    class Params:
        """Radii are stated at 8/255 and scaled to the data set: `--attacks "best-step[tries=5]"`."""

        eps: float = setting(8 / 255, above=0.0, high=1.0, help="radius on the [0,1] scale")
        tries: int = setting(3, low=1, help="random points")

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Images in the ball and in [0,1]; all randomness comes from `noise`, which belongs to the images."""
        eps = self.params.eps * self.threat.scale
        best, highest = x, torch.full_like(y, -torch.inf, dtype=x.dtype)
        for _ in range(self.params.tries):
            start = (x + noise.uniform(x.shape, -eps, eps)).clamp(0, 1)
            gradient, _ = oracle.gradient(start, lambda z: cross_entropy(z, y, reduction="sum"))
            candidate = (x + (start + eps * gradient.sign() - x).clamp(-eps, eps)).clamp(0, 1)
            loss = cross_entropy(oracle.logits(candidate), y, reduction="none").to(x.dtype)
            better = loss > highest
            best = torch.where(better.view(-1, *[1] * (x.ndim - 1)), candidate, best)
            highest = torch.where(better, loss, highest)
        return best

    def passes(self) -> tuple[float, float]:
        """Forward and backward passes an image, for the estimate of costs; the last one judges the answer."""
        return 2.0 * self.params.tries + 1.0, float(self.params.tries)
