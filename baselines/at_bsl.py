"""AT-BSL: Yue et al., Revisiting Adversarial Training under Long-Tailed Distributions, CVPR 2024.

Balanced softmax on adversarial examples: L = CE(z(x') + log n, y) with n_c training images of class c. The attack uses
plain cross-entropy, and inference uses z as it is. A constant added to all logits changes nothing, so n need not be
normalised.

`paper` and `official` have the same attack (8/255, 2/255, 10 steps from x + 0.001 G). `official` also drops the last
partial batch and switches the learning rate one epoch earlier. `extra_clean_forward=true` with eps=0.031, step=0.003
is the AT-BSL notebook of the TAET repository.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.api import Context, Method, Recipe, register, setting

from ._terms import log_counts


@register("methods")
class BalancedSoftmaxTraining(Method["BalancedSoftmaxTraining.Hparams"]):
    """Adversarial training with the balanced softmax loss."""

    name = "at-bsl"
    paper = "Yue et al., CVPR 2024"
    formula = "L = CE(z(x') + log n, y),  x' = PGD on CE from x + 0.001 G"
    licence = "none stated"
    differences = (
        "The authors report the best epoch by PGD-20 on the test set from epoch 75 on; here it is the last epoch.",
        "Their script offers RandAugment and AutoAugment (augment=randaugment, augment=autoaugment); off by default.",
        "The TAET repository's notebook uses radius 0.031, step 0.003 and one extra clean train-mode forward a step.",
    )
    official = {"milestones": (74, 89, 99), "factors": (0.1, 0.01, 0.001), "drop_last": True}
    needs = frozenset({"class_counts"})

    @dataclass(frozen=True)
    class Hparams:
        """Nothing but a quirk."""

        extra_clean_forward: bool = setting(False, help="a discarded clean train-mode forward before the attack")

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """Adversarial training's, plus the discarded forward."""
        return recipe.steps + 1.0 + self.hp.extra_clean_forward, recipe.steps + 1.0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on cross-entropy, after the discarded forward where there is one."""
        if self.hp.extra_clean_forward:
            with torch.no_grad():
                model(x)
        return super().perturb(model, x, y, context)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Balanced softmax cross-entropy of the adversarial batch."""
        logits = model(x_adv)
        return context.cross_entropy(logits + log_counts(context, logits), y), {}
