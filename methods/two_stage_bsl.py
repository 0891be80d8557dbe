"""Balanced softmax in two stages: a baseline of this project, at the cost of TAET and with one loss.

Epochs 0 to 39 of 100 on clean images, epochs 40 to 99 on adversarial ones, and throughout

    L = CE(z + log n, y),  n_c training images of class c,

AT-BSL's loss (Yue et al., CVPR 2024) in TAET's two stages (Wang et al., CVPR 2025). What it asks: how much of TAET is
its schedule and how much its loss. One optimiser and one schedule; the attack and inference use z as it is. A shorter
run switches in proportion. docs/findings.md has what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.api import Context, Method, Phase, Recipe, register, setting


@register("methods")
class TwoStageBalancedSoftmax(Method["TwoStageBalancedSoftmax.Hparams"]):
    """Balanced softmax on clean images first, then on adversarial ones."""

    name = "two-stage-bsl"
    paper = "a baseline of this project"
    formula = "L = CE(z(x) + log n, y) while epoch < ce_epochs, then L = CE(z(x') + log n, y)"
    cost = "1F+1B in the first stage, 11F+11B in the second (0.64 of AT on average)"
    needs = frozenset({"class_counts"})
    small = ({}, {"ce_epochs": 0})

    @dataclass(frozen=True)
    class Hparams:
        """Where the second stage begins."""

        ce_epochs: int = setting(40, low=0, help="clean epochs of the full-length recipe (100 epochs)")

    def clean(self, recipe: Recipe) -> int:
        """Epochs of the first stage."""
        return min(recipe.epoch_at(self.hp.ce_epochs), recipe.epochs)

    def phase(self, context: Context) -> Phase:
        """Natural until `ce_epochs`."""
        return "natural" if context.epoch < self.clean(context.recipe) else "adversarial"

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """Average of the two stages over the run."""
        share = self.clean(recipe) / recipe.epochs
        one = share + (1 - share) * (recipe.steps + 1)
        return one, one

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Balanced softmax cross-entropy of the epoch's images; in a natural phase x_adv is x."""
        logits = model(x_adv)
        log_n = context.class_counts.to(torch.promote_types(logits.dtype, torch.float32)).log()
        return context.cross_entropy(logits + log_n, y), {}
