"""Sign-gradient ascent in the l_inf ball: what FGSM, PGD, LSA, MIM and the margin attack share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.api import Attack, Noise, Oracle, setting

#: where the ascent begins: (images, radius, noise) -> first point
START: dict[str, Callable[[Tensor, float, Noise], Tensor]] = {
    "image": lambda x, _eps, _noise: x,
    "gaussian": lambda x, _eps, noise: x + 0.001 * noise.gaussian(x.shape),
    "uniform": lambda x, eps, noise: x + noise.uniform(x.shape, -eps, eps),
    "uniform-clamped": lambda x, eps, noise: (x + noise.uniform(x.shape, -eps, eps)).clamp(0, 1),
}


def project(candidate: Tensor, x: Tensor, eps: float) -> Tensor:
    """The nearest point of the l_inf ball around x, then of [0,1]."""
    return (x + (candidate - x).clamp_(-eps, eps)).clamp_(0, 1)


def cross_entropy_of(y: Tensor, scale: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Cross-entropy of logits multiplied by `scale`, summed over the batch."""
    return lambda z: cross_entropy(z if scale == 1 else scale * z, y, reduction="sum")


def margin(z: Tensor, y: Tensor) -> Tensor:
    """z_y - max over the other classes, N values; negative where the image is misclassified."""
    others = z.scatter(1, y[:, None], -torch.inf).amax(1)
    return z.gather(1, y[:, None]).squeeze(1) - others


class SignAscent(Attack):
    """x' <- project(x' + step sign(gradient)), `steps` times; the last iterate is the answer.

    Every image is attacked, also one that is misclassified already: the verdict is the prediction at the last iterate,
    as in the evaluation loops this stands for.
    """

    momentum: ClassVar[float] = 0.0
    small = {"steps": 3}

    @dataclass(frozen=True)
    class Params:
        """Radius, step and start, at the reference radius 8/255."""

        eps: float = setting(8 / 255, above=0.0, high=1.0, help="radius on the [0,1] scale")
        step: float = setting(1 / 255, above=0.0, high=1.0, help="step on the [0,1] scale")
        steps: int = setting(20, low=1, help="iterations")
        start: str = setting("uniform-clamped", choices=tuple(START), help="first point")

    def objective(self, y: Tensor) -> Callable[[Tensor], Tensor]:
        """What is ascended, from logits to one number."""
        return cross_entropy_of(y)

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Adversarial images; one draw of the shape of x for the start, unless `start=image`."""
        eps, step = self.params.eps * self.threat.scale, self.params.step * self.threat.scale
        current, objective = START[self.params.start](x, eps, noise), self.objective(y)
        memory = torch.zeros_like(x) if self.momentum else None
        for _ in range(self.params.steps):
            gradient, _ = oracle.gradient(current, objective)
            if memory is not None:
                mean = gradient.abs().flatten(1).mean(1).clamp_min(1e-12).view(-1, *[1] * (x.ndim - 1))
                gradient = memory = self.momentum * memory + gradient / mean
            current = project(current.add(gradient.sign(), alpha=step), x, eps)
        return current

    def passes(self) -> tuple[float, float]:
        """Forward and backward passes an image."""
        return self.params.steps + 1.0, float(self.params.steps)
