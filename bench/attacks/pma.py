"""PMA: Xie et al., Towards Million-Scale Adversarial Robustness Evaluation With Stronger Individual Attacks, CVPR 2025.

Sign ascent on the probability margin PM = p_m - p_y, with p the softmax and m the likeliest class besides y. Twice per
restart, N steps from a fresh x + U(-eps, eps), on the images that still stand:

    step 0          ascend p_y (away from the goal, as in the attack it descends from)
    0 < i < N/2     ascend -p_y in the first pass, p_m in the second
    i >= N/2        ascend p_m - p_y
    step size       eps (1 + cos(pi (i-1) / (N/2))) up to i = N/2, eps (1 + cos(pi (i-1-N/2) / (N/2))) after it

An image leaves at the first forward that finds it misclassified; the last iterate is looked at once more. The authors
do not clamp the start (`start=uniform`): what is fooled there may lie outside [0,1], which no verdict here accepts, so
the default is clamped. In single precision the softmax of a very confident network saturates and PM loses its gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from bench.api import Attack, Objective, Oracle, register, setting

from ._draws import ImageDraws
from ._pgd import project


def label_and_runner_up(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(p_y, p_m, m) of logits z (N x C): m is the likeliest class besides the label; N values each."""
    p = z.softmax(1)
    m = p.detach().scatter(1, y[:, None], -1.0).argmax(1)
    return p.gather(1, y[:, None]).squeeze(1), p.gather(1, m[:, None]).squeeze(1), m


def phase_value(phase: str, z: Tensor, y: Tensor) -> Tensor:
    """What a phase ascends (N values): `first` p_y, `true` -p_y, `other` p_m, `margin` p_m - p_y."""
    label, other, _ = label_and_runner_up(z, y)
    return {"first": label, "true": -label, "other": other, "margin": other - label}[phase]


@register("attacks")
class PMA(Attack):
    """The authors' single attack; their ensemble with AutoAttack's parts is not here.

    Their loop fails when exactly one image stands at the start of a pass; here any number may stand.
    """

    name = "pma"
    only_correct = True

    @dataclass(frozen=True)
    class Params:
        """Radius at the reference radius 8/255, and length."""

        eps: float = setting(8 / 255, above=0.0, high=1.0, help="radius on the [0,1] scale")
        steps: int = setting(100, low=2, help="iterations of each of the two passes")
        restarts: int = setting(1, low=1, help="how often the two passes are made")
        start: Literal["uniform", "uniform-clamped"] = setting("uniform-clamped", help="first point of a pass")

    def step_size(self, i: int) -> float:
        """The length of step i (from 0): each half of a pass begins at 2 eps and ends near 0."""
        half = self.params.steps / 2
        since = i - 1 if i <= half else i - 1 - half
        eps: float = self.params.eps * self.threat.scale
        return eps * (1 + math.cos(math.pi * since / half))

    def phase(self, i: int, second: bool) -> str:
        """The objective of step i in the first or the second pass, see `phase_value`."""
        if i >= self.params.steps / 2:
            return "margin"
        return "first" if i == 0 else "other" if second else "true"

    def objective(self, phase: str, y: Tensor) -> Objective:
        """What a phase ascends on images of labels y."""
        return lambda z: phase_value(phase, z, y)

    def runner_up(self, z: Tensor, y: Tensor) -> Tensor:
        """The likeliest class besides the label (N)."""
        return label_and_runner_up(z, y)[2]

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """Adversarial images: the first fooling iterate, else the last one; what is wrong already stays itself."""
        draws, eps = ImageDraws(noise), self.params.eps * self.threat.scale
        answer, alive = x.clone(), (oracle.logits(x).argmax(1) == y).nonzero().squeeze(1)
        for turn in range(2 * self.params.restarts):
            if len(alive) == 0:
                break
            now = x[alive] + eps * (2 * draws.each(alive, x.shape[1:]) - 1)
            if self.params.start == "uniform-clamped":
                now = now.clamp(0, 1)
            alive = self.ascend(oracle, x, y, answer, alive, now, second=turn % 2 == 1)
        return answer

    def ascend(
        self, oracle: Oracle, x: Tensor, y: Tensor, answer: Tensor, alive: Tensor, now: Tensor, *, second: bool
    ) -> Tensor:
        """One pass over the images at `alive` from the points `now`; writes `answer`, returns who still stands."""
        eps = self.params.eps * self.threat.scale
        for i in range(self.params.steps):
            gradient, z = oracle.gradient(now, self.objective(self.phase(i, second), y[alive]))
            fooled = z.argmax(1) != y[alive]
            answer[alive[fooled]] = now[fooled]
            alive, now, gradient = alive[~fooled], now[~fooled], gradient[~fooled]
            if len(alive) == 0:
                return alive
            now = project(now.add(gradient.sign(), alpha=self.step_size(i)), x[alive], eps)
        answer[alive] = now
        return alive[oracle.logits(now).argmax(1) == y[alive]]

    def passes(self) -> tuple[float, float]:
        """Forward and backward passes of an image that resists."""
        count = 2.0 * self.params.restarts * self.params.steps
        return count + 2 * self.params.restarts + 1, count

    def notes(self) -> tuple[str, ...]:
        """A shortened run."""
        return () if self.params.steps == 100 else (f"{self.params.steps} iterations instead of 100",)
