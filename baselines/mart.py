"""MART: Wang et al., Improving Adversarial Robustness Requires Revisiting Misclassified Examples, ICLR 2020.

    L = BCE + beta mean_i KL_i (1 - p_y(x_i))                                                    (their Eq. 11)
    BCE = CE(z(x'), y) + mean_i -log(1 - max_{k != y} p_k(x'_i))
    KL_i = KL(p(x_i) || p(x'_i))

The gradient flows through everything, the weight 1 - p_y(x) included. The small constants inside the logarithms are
those of the authors' code. Attack: PGD on cross-entropy from x + 0.001 G. Train-mode forwards x, then x'.

`paper`: the common recipe with beta 5; which beta the paper used is not determined. `official`: their ResNet-18
script: lr 0.01, weight decay 3.5e-3, 120 epochs, 0.031, 0.007.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from bench.api import Context, Method, Recipe, register, setting

from ._terms import kl_rows, log_plus


@register("methods")
class Mart(Method["Mart.Hparams"]):
    """Boosted cross-entropy and a KL that weighs misclassified images."""

    name = "mart"
    paper = "Wang et al., ICLR 2020"
    formula = "L = CE(z(x'), y) - mean log(1 - max_{k!=y} p_k(x')) + beta mean KL(p(x) || p(x')) (1 - p_y(x))"
    licence = "none stated"
    differences = (
        "The script for ResNet-18 uses lr 0.01 and weight decay 3.5e-3; the paper's common optimiser 0.1 and 5e-4.",
        "beta is 5 for ResNet-18 and 6 for wide ResNets in the scripts; which one the paper used is not determined.",
    )
    cost = "12F+12B"
    official = {
        "epochs": 120,
        "lr": 0.01,
        "weight_decay": 3.5e-3,
        "milestones": (74, 89, 99),
        "factors": (0.1, 0.01, 0.001),
        "eps": 0.031,
        "step": 0.007,
    }

    @dataclass(frozen=True)
    class Hparams:
        """The weight of the KL term."""

        beta: float = setting(5.0, low=0.0, help="weight of the KL term")

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """Two outer forwards."""
        return recipe.steps + 2.0, recipe.steps + 2.0

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Boosted cross-entropy plus the weighted KL."""
        clean = log_softmax(model(x), 1)
        logits = model(x_adv)
        adversarial = log_softmax(logits, 1)
        label = y[:, None]
        runner_up = adversarial.scatter(1, label, -torch.inf).max(1).values.exp()
        bce = cross_entropy(logits, y) - torch.log(1.0001 - runner_up + 1e-12).mean()
        doubt = 1.0000001 - clean.gather(1, label).squeeze(1).exp()
        kl = (kl_rows(clean, log_plus(adversarial, 1e-12)) * doubt).mean()
        return bce + self.hp.beta * kl, {"bce": bce.detach(), "weighted_kl": kl.detach()}
