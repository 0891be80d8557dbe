"""CW-L2 (Carlini and Wagner, S&P 2017) with fixed c, as the paper's CW column ran it: unbounded, l2, 100 Adam steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.api import Attack, Noise, Oracle, register, setting

#: Adam's moments and its guard against division by zero
BETA1, BETA2, TINY = 0.9, 0.999, 1e-8


@register("attacks")
class CWL2(Attack):
    """Adam on w, where a = (tanh w + 1) / 2, of ||a - x||^2 + c max(R - O, -kappa); R and O as below.

    R = max(z_y, 0) and O = max(max_{k != y} z_k, 0): the other logits are set to zero, not left out, so the result
    depends on the offset and the scale of the logits. There is no radius and no search over c. Of each image the
    misclassified iterate nearest to it is kept; an image that is never misclassified comes back unchanged. A pixel that
    is exactly 0 or 1 never moves.

    Every tenth of the steps an attack that has become costlier since the last look is stopped: each image by its own
    cost (`stop=image`), or the whole batch by the summed cost (`stop=batch`, as in torchattacks, where the result of an
    image therefore depends on its batch). Both are the same for a batch of one.
    """

    name = "cw-l2"
    norm = "l2"
    small = {"steps": 3}

    @dataclass(frozen=True)
    class Params:
        """Settings of the paper's notebook; none of them scales with the threat model."""

        c: float = setting(10.0, above=0.0, help="weight of the classification term")
        kappa: float = setting(0.0, low=0.0, help="confidence")
        steps: int = setting(100, low=1, help="Adam steps")
        lr: float = setting(0.01, above=0.0, help="Adam's learning rate")
        stop: str = setting("image", choices=("image", "batch"), help="whose cost stops the attack early")

    def classification(self, z: Tensor, y: Tensor) -> Tensor:
        """max(R - O, -kappa), N values."""
        true = torch.nn.functional.one_hot(y, z.shape[1]).to(z.dtype)
        return ((true * z).amax(1) - ((1 - true) * z).amax(1)).clamp_min(-self.params.kappa)

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """The nearest misclassified images found, without any draw."""
        p, look = self.params, max(self.params.steps // 10, 1)
        best, nearest = x.clone(), x.new_full((len(x),), 1e10)
        index = torch.arange(len(x), device=x.device)
        signed = (2 * x - 1).clamp(-1, 1)
        w = 0.5 * torch.log((1 + signed) / (1 - signed))
        first, second, before = torch.zeros_like(x), torch.zeros_like(x), x.new_full((len(x),), 1e10)
        for step in range(p.steps):
            squashed = torch.tanh(w)
            image = (squashed + 1) / 2
            gradient, z = oracle.gradient(image, lambda z: self.classification(z, y[index]))  # noqa: B023 - used at once
            offset = image - x[index]
            distance = offset.square().flatten(1).sum(1)
            better = (z.argmax(1) != y[index]) & (distance < nearest[index])
            best[index[better]], nearest[index[better]] = image[better], distance[better]
            slope = (2 * offset + p.c * gradient) * (1 - squashed.square()) / 2
            first = BETA1 * first + (1 - BETA1) * slope
            second = BETA2 * second + (1 - BETA2) * slope.square()
            rate = p.lr / (1 - BETA1 ** (step + 1))
            w = w - rate * first / (second.sqrt() / (1 - BETA2 ** (step + 1)) ** 0.5 + TINY)
            if step % look == 0:
                cost = distance + p.c * self.classification(z, y[index])
                if p.stop == "batch":
                    cost = cost.sum().expand(len(index))
                keep = cost <= before
                if not keep.any():
                    break
                index, w, first, second, before = index[keep], w[keep], first[keep], second[keep], cost[keep]
        return best

    def passes(self) -> tuple[float, float]:
        """Forward and backward passes of an image that is not stopped early."""
        return self.params.steps + 1.0, float(self.params.steps)
