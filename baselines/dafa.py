"""DAFA: Lee et al., DAFA: Distance-Aware Fair Adversarial Training, ICLR 2024.

TRADES with one weight W_c a class, which scales the radius and the step of the attack and the clean term:

    L = mean_i W_{y_i} CE(z(x_i), y_i) + beta mean_i KL(p(x_i) || p(x'_i)),   |x'_i - x_i| <= W_{y_i} eps

W_c = 1 through epoch `warm_up` (counted from 1). At its end, with S_ij the mean probability of class j over the
adversarial images of class i in that epoch, every pair i != j adds

    W_i += lambda S_ij S_jj   if S_ii < S_jj,      W_i -= lambda S_ji S_ii   otherwise.

S_ij is a mean over the class, so unequal class counts need no change; pairs with a class that had no image add nothing,
and W is kept at or above 0. Train-mode forwards x', then x. The clean logits of the attack are computed once.

`paper`: the common recipe, warm-up through epoch 70 of 110 in proportion. `official`: 110 epochs, drops at 100 and 105,
Nesterov momentum, 0.031, 0.007. lambda is 1.0 for CIFAR-10 and 1.5 for CIFAR-100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from bench.api import ConfusionRadii, Context, Method, Recipe, register, setting

from ._terms import kl_rows


@register("methods")
class Dafa(Method["Dafa.Hparams"]):
    """TRADES with class weights from the confusion of adversarial images."""

    name = "dafa"
    paper = "Lee et al., ICLR 2024"
    formula = "L = mean W_y CE(z(x), y) + beta mean KL(p(x) || p(x')),  radius W_y eps, step W_y eta"
    licence = "not determined"
    differences = (
        "The script trains 110 epochs with drops at its 100th and 105th, Nesterov momentum, radius 0.031, step 0.007.",
        "Weights are kept at or above 0 here, and absent classes add nothing; balanced data meets neither case.",
        "Not among the methods of the TAET paper; no golden values exist for it.",
    )
    cost = "13F+12B"
    official = {
        "epochs": 110,
        "milestones": (99, 104),
        "factors": (0.1, 0.01),
        "nesterov": True,
        "eps": 0.031,
        "step": 0.007,
    }
    small = ({"warm_up": 30},)

    @dataclass(frozen=True)
    class Hparams:
        """The trade-off and the class weights."""

        beta: float = setting(6.0, low=0.0, help="weight of the KL term")
        lam: float = setting(1.0, low=0.0, help="lambda, strength of the class weights")
        warm_up: int = setting(70, low=1, help="epoch of 110, counted from 1, at whose end the weights are set")

    def setup(self, model: nn.Module, context: Context) -> None:
        """Equal weights, until the rule has measured."""
        self.radii = ConfusionRadii(self.hp.lam, self.hp.warm_up, context)

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """K + 1 forwards in the attack, two outside it."""
        return recipe.steps + 3.0, recipe.steps + 2.0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on the KL from the clean prediction, radius and step scaled by the class weight."""
        model.eval()
        with torch.no_grad():
            clean = log_softmax(model(x), 1)
        scale = self.radii.of(y, context, x)
        return context.pgd(
            model,
            x,
            lambda z: kl_rows(clean, log_softmax(z, 1)),
            start=self.start,
            eps=context.eps * scale,
            step=context.step_size * scale,
        )

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted clean cross-entropy and mean KL; in the measuring epoch also the class means of p(x')."""
        adversarial = model(x_adv)
        logits = model(x)
        self.radii.see(adversarial.detach(), y, context)
        natural = (self.radii.weights.to(logits.dtype)[y] * cross_entropy(logits, y, reduction="none")).mean()
        kl = kl_rows(log_softmax(logits, 1), log_softmax(adversarial, 1)).mean()
        return natural + self.hp.beta * kl, {"natural_ce": natural.detach(), "kl_mean": kl.detach()}

    def on_epoch_end(self, context: Context) -> None:
        """Set the weights, once."""
        self.radii.end_epoch(context)

    def state(self) -> dict[str, Any]:
        """Weights and sums."""
        return self.radii.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Put weights and sums back."""
        self.radii.load_state(state)
