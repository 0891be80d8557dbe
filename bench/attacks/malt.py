"""MALT: Melamed et al., MALT Powers Up Adversarial Attacks, NeurIPS 2024: targeted APGD, easiest classes first.

Classes are ranked by gap over slope (see `_malt.py`), and the first nine are attacked in turn by APGD on a targeted DLR

    (z_t - max_{k != t} z_k) / (z_(1) - (z_(3) + z_(4)) / 2)

against the best other class, where AutoAttack's is against the label. With ten classes only the order differs from
AutoAttack's targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench.api import Attack, Oracle, register, setting

from ._apgd import apgd
from ._autoattack import DLR_CLASSES, over_targets
from ._draws import ImageDraws
from ._malt import target_order
from ._pgd import margin


def against_best(z: Tensor, _y: Tensor, target: Tensor) -> Tensor:
    """z_t minus the best other logit, over the spread of the largest where there are four; N values, ascended."""
    lead = margin(z, target)
    if z.shape[1] < DLR_CLASSES:
        return lead
    top = z.topk(4, 1).values
    return lead / (top[:, 0] - 0.5 * (top[:, 2] + top[:, 3]) + 1e-12)


@register("attacks")
class MALT(Attack):
    """An image is broken by any misclassification; the authors' loop overlooks all but the target's."""

    name = "malt"
    only_correct = True

    @dataclass(frozen=True)
    class Params:
        """Radius at the reference radius 8/255, length, and how many classes are ranked and attacked."""

        eps: float = setting(8 / 255, above=0.0, high=1.0, help="radius on the [0,1] scale")
        steps: int = setting(100, low=1, help="iterations a target")
        targets: int = setting(9, low=1, help="classes attacked one by one")
        candidates: int = setting(100, low=1, help="classes ranked, the likeliest first")

    def target_order(self, oracle: Oracle, x: Tensor, y: Tensor, norm: str = "inf") -> tuple[Tensor, Tensor]:
        """(classes, scores) of each image, easiest first."""
        return target_order(oracle, x, y, norm=norm, targets=self.params.targets, candidates=self.params.candidates)

    def run(self, oracle: Oracle, x: Tensor, y: Tensor, noise: Any) -> Tensor:
        """One random start a target."""
        draws, ranked = ImageDraws(noise), self.target_order(oracle, x, y)[0]

        def attack(alive: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            unit = draws.each(alive, x.shape[1:])
            eps = self.params.eps * self.threat.scale
            return apgd(oracle, x[alive], y[alive], target, unit, against_best, eps, self.params.steps)

        return over_targets(x, ranked, attack)

    def passes(self) -> tuple[float, float]:
        """Forward and backward passes of an image that resists."""
        ranked = min(self.params.candidates, self.num_classes - 1)
        gradients = (self.params.steps + 1.0) * min(self.params.targets, ranked)
        return gradients + 2, gradients + ranked

    def notes(self) -> tuple[str, ...]:
        """Classes left out, and a loss replaced for few classes."""
        notes = [] if self.params.steps == 100 else [f"{self.params.steps} iterations instead of 100"]
        if self.num_classes < DLR_CLASSES:
            notes.append(f"targeted DLR, undefined for {self.num_classes} classes, replaced by the targeted margin")
        return tuple(notes)
