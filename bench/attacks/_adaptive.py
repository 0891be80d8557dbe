"""Attacks on masked gradients: rescaled logits, large steps from many starts, averages over random outputs."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.api import Objective, Oracle

from ._autoattack import Stage
from ._pgd import cross_entropy_of, margin, project


class Restarted(Stage):
    """Sign ascent from uniform starts, each on what still stands; an image leaves with its first fooling point."""

    restarts: ClassVar[int] = 5
    iterations: ClassVar[int] = 20
    #: step as a share of the radius
    share: ClassVar[float] = 0.25
    #: gradients averaged in every step
    samples: ClassVar[int] = 1

    def objective(self, y: Tensor, scale: Tensor) -> Objective:
        """What is ascended; `scale` (N x 1): distance of the two largest logits at the clean image."""
        raise NotImplementedError("abstract")

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """One draw of the shape of the images a restart."""
        draws, answer = self.draws(x, noise), x.clone()
        top = oracle.logits(x).topk(2, 1).values
        scale = (top[:, :1] - top[:, 1:]).clamp_min(1e-12)
        standing = torch.arange(len(x), device=x.device)
        for _ in range(self.restarts):
            now = (x[standing] + self.eps * (2 * draws.each(standing, x.shape[1:]) - 1)).clamp_(0, 1)
            answer, standing = self.ascend(oracle, x, y, scale, standing, now, answer)
            if len(standing) == 0:
                break
        return answer

    def ascend(
        self, oracle: Oracle, x: Tensor, y: Tensor, scale: Tensor, index: Tensor, now: Tensor, answer: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(answers, positions that still stand) after one restart of the images at `index` from the points `now`."""
        for _ in range(self.iterations):
            objective = self.objective(y[index], scale[index])
            gradient, z = oracle.gradient(now, objective)
            for _ in range(self.samples - 1):
                gradient = gradient + oracle.gradient(now, objective)[0]
            now, gradient, index = _leave(answer, index, now, gradient, z.argmax(1) != y[index])
            if len(index) == 0:
                return answer, index
            now = project(now.add(gradient.sign(), alpha=self.share * self.eps), x[index], self.eps)
        _, _, index = _leave(answer, index, now, now, oracle.logits(now).argmax(1) != y[index])
        return answer, index


def _leave(answer: Tensor, index: Tensor, now: Tensor, gradient: Tensor, fooled: Tensor) -> tuple[Tensor, ...]:
    if not fooled.any():
        return now, gradient, index
    answer[index[fooled]] = now[fooled]
    return now[~fooled], gradient[~fooled], index[~fooled]


class Rescaled(Restarted):
    """Cross-entropy of logits divided by their own gap at the clean image: neither flat nor saturated."""

    name = "rescaled"

    def objective(self, y: Tensor, scale: Tensor) -> Objective:
        """CE(z / gap)."""
        ce = cross_entropy_of(y)
        return lambda z: ce(z / scale)


class LargeStep(Restarted):
    """The margin loss with steps as long as the radius, from ten starts: jumps over plateaus and kinks."""

    name, restarts, share = "large-step", 10, 1.0

    def objective(self, y: Tensor, scale: Tensor) -> Objective:
        """The negative margin."""
        return lambda z: -margin(z, y).sum()


class Expectation(Restarted):
    """Gradients averaged over 20 forward passes, for a network whose outputs are random; else nothing to do."""

    name, restarts, iterations, samples = "expectation", 1, 50, 20

    def objective(self, y: Tensor, scale: Tensor) -> Objective:
        """CE(z / gap)."""
        ce = cross_entropy_of(y)
        return lambda z: ce(z / scale)

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """The images unchanged when two forward passes agree."""
        first, second = oracle.logits(x), oracle.logits(x)
        if (first - second).abs().amax() <= 1e-4 * first.abs().amax():
            return x
        return super().run(oracle, x, y, noise)


ADAPTIVE: tuple[type[Restarted], ...] = (Rescaled, LargeStep, Expectation)
