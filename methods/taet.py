"""TAET, two-stage adversarial equalization training: Wang et al., CVPR 2025 (arXiv 2503.01924), Algorithm 1.

Epochs 0 to 39 of 100: cross-entropy on clean images. Epochs 40 to 99: the hierarchical loss of `harl` on adversarial
images. One optimiser and one schedule throughout; the learning rate is not reset at the switch. A shorter run switches
in proportion.

`paper`: 8/255, step 2/255, one forward a step in the first stage. `official`: 0.031, step 0.003, and every step begins
with a clean train-mode forward whose output is discarded: no gradient comes of it, but the running statistics of batch
norm, which the attack and the test use, become a mixture of clean and adversarial ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.api import Context, Method, Phase, Recipe, register, setting

from ._hierarchical import hierarchical_loss


@register("methods")
class TwoStage(Method["TwoStage.Hparams"]):
    """Clean cross-entropy first, then hierarchical adversarial training."""

    name = "taet"
    paper = "Wang et al., CVPR 2025"
    formula = "epoch < ce_epochs: L = CE(z(x), y); then L = alpha BCL + beta HDL + gamma RCEL on x' (see harl)"
    licence = "none stated"
    differences = (
        "Radius and step: 8/255 and 2/255 in the paper, 0.031 and 0.003 in the code; evaluation uses 8/255.",
        "The released loop makes an extra clean train-mode forward in every step (extra_clean_forward).",
        "A.1 says 40 epochs in the adversarial domain; Algorithm 1, B.1, C.1, E and the code: 40 clean, then 60.",
        "Algorithm 1 clips to [0,1] once at the end; the code clips in every step.",
        "The full notebooks train a ResNet-50 on images enlarged to 224 (resize=224); the paper says ResNet-18.",
        "The cost of 0.608 of AT in the paper normalises the clean stage twice; by passes it is 0.636.",
    )
    cost = "1F+1B in the first stage, 11F+11B in the second (0.64 of AT on average)"
    official = {"eps": 0.031, "step": 0.003, "extra_clean_forward": True}
    small = ({}, {"ce_epochs": 0, "extra_clean_forward": True})

    @dataclass(frozen=True)
    class Hparams:
        """Weights of the second stage and where it begins."""

        alpha: float = setting(0.1, low=0.0, help="weight of BCL, the balanced class loss")
        beta: float = setting(0.1, low=0.0, help="weight of HDL, the spread of the class losses")
        gamma: float = setting(0.1, low=0.0, help="weight of RCEL, the concentration of the class losses")
        ce_epochs: int = setting(40, low=0, help="clean epochs of the full-length recipe (100 epochs)")
        extra_clean_forward: bool = setting(False, help="a discarded clean train-mode forward in every step")

    def phase(self, context: Context) -> Phase:
        """Natural until `ce_epochs`."""
        return "natural" if context.epoch < context.recipe.epoch_at(self.hp.ce_epochs) else "adversarial"

    def shared_prefix(self, recipe: Recipe) -> int:
        """The clean stage, unless the extra forward moves the batch statistics twice."""
        return 0 if self.hp.extra_clean_forward else min(recipe.epoch_at(self.hp.ce_epochs), recipe.epochs)

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """Average of the two stages over the run."""
        clean = min(recipe.epoch_at(self.hp.ce_epochs), recipe.epochs) / recipe.epochs
        backward = clean + (1 - clean) * (recipe.steps + 1)
        return backward + self.hp.extra_clean_forward, backward

    def begin(self, model: nn.Module, x: Tensor) -> None:
        """The discarded forward with which the released loop begins every step."""
        if self.hp.extra_clean_forward:
            with torch.no_grad():
                model(x)

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on cross-entropy."""
        self.begin(model, x)
        return super().perturb(model, x, y, context)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the epoch's stage."""
        if self.phase(context) == "natural":
            self.begin(model, x)
            return context.cross_entropy(model(x), y), {}
        weights = self.hp.alpha, self.hp.beta, self.hp.gamma
        losses = context.cross_entropy(model(x_adv), y, "none")
        total, parts, context.extras["class_losses"] = hierarchical_loss(losses, y, context.num_classes, *weights)
        return total, parts
