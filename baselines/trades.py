"""TRADES: Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019 (their Eq. 5).

    L = CE(z(x), y) + beta mean_i KL(p(x_i) || p(x'_i)),      x' ascends the same KL from x + 0.001 G

Nothing is detached: the gradient flows through both sides of the KL. Train-mode forwards in the order x, x', x; the
third repeats the first and moves the batch statistics again, as in the authors' code. The clean probabilities of the
attack are computed once, which changes nothing because the network does not change during it.

`paper`: 8/255, 2/255, 10 steps, 100 epochs. `official`: 0.031, 0.007, 76 epochs, weight decay 2e-4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from bench.api import Context, Method, Recipe, register, setting

from ._terms import kl_rows


@register("methods")
class Trades(Method["Trades.Hparams"]):
    """Clean cross-entropy plus the KL between clean and adversarial predictions."""

    name = "trades"
    paper = "Zhang et al., ICML 2019"
    formula = "L = CE(z(x), y) + beta mean KL(p(x) || p(x')),  x' ascends the KL from x + 0.001 G"
    licence = "MIT"
    differences = (
        "The script trains WRN-34-10 for 76 epochs with radius 0.031, step 0.007 and weight decay 2e-4.",
        "The authors recompute the clean probabilities in every attack step; here they are computed once, to the same "
        "effect.",
    )
    cost = "14F+13B (23F+13B in the authors' code)"
    official = {
        "epochs": 76,
        "milestones": (74,),
        "factors": (0.1,),
        "weight_decay": 2e-4,
        "eps": 0.031,
        "step": 0.007,
    }

    @dataclass(frozen=True)
    class Hparams:
        """The trade-off."""

        beta: float = setting(6.0, low=0.0, help="weight of the KL term")
        adversarial_first: bool = setting(False, later=True, help="train-mode forwards x', x, x as in AWP's loop")

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """K + 1 forwards in the attack, three outside it."""
        return recipe.steps + 4.0, recipe.steps + 3.0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on the KL from the clean prediction."""
        model.eval()
        with torch.no_grad():
            clean = log_softmax(model(x), 1)
        return context.pgd(model, x, lambda z: kl_rows(clean, log_softmax(z, 1)), start=self.start)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Clean cross-entropy and mean KL."""
        if self.hp.adversarial_first:
            adversarial, natural = log_softmax(model(x_adv), 1), context.cross_entropy(model(x), y)
        else:
            natural, adversarial = context.cross_entropy(model(x), y), log_softmax(model(x_adv), 1)
        kl = kl_rows(log_softmax(model(x), 1), adversarial).mean()
        return natural + self.hp.beta * kl, {"natural_ce": natural.detach(), "kl_mean": kl.detach()}
