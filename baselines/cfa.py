"""CFA: Wei et al., CFA: Class-wise Calibrated Fair Adversarial Training, CVPR 2023.

From epoch `begin` on (0-based), with r_c the share of class c's images that were robustly right in the last epoch, each
class has its own radius and, with TRADES, its own trade-off:

    eps_c = (lambda_1 + r_c) eps        beta_c = (lambda_2 + r_c) beta / (1 + (lambda_2 + r_c) beta)
    trades:  L = mean_i (1 - beta_y) CE(z(x_i), y_i) + beta_y KL(p(x_i) || p(x'_i))
    at:      L = mean_i CE(z(x'_i), y_i), attacked in train mode

Before that eps_c = eps and beta_c = beta / (1 + beta). r_c is correct / seen of the class: the authors divide by the
batch as if classes were equally frequent, which long-tailed data is not. Their third part, averaging the weights in
epochs in which a validation set is robust enough, needs a validation set and is not here.

`paper`: the common recipe. `official`: 200 epochs, drops at 100 and 150.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from bench.api import CalibratedRadii, Context, Method, Recipe, register, setting

from ._terms import kl_rows


@register("methods")
class Cfa(Method["Cfa.Hparams"]):
    """Class-wise radius and trade-off from last epoch's robust training accuracy."""

    name = "cfa"
    paper = "Wei et al., CVPR 2023"
    formula = "L = mean (1 - beta_y) CE(z(x), y) + beta_y KL(p(x) || p(x')),  eps_c = (lambda_1 + r_c) eps"
    licence = "none stated"
    differences = (
        "r_c is taken per class (correct / seen); the authors' C correct_c / N assumes equal classes.",
        "Fairness-aware weight averaging needs a validation set and is left out.",
        "The authors normalise inputs and train a PreActResNet-18.",
        "After each step they make a clean train-mode forward for logging, and with base=trades a second one inside "
        "the loss; both move the batch statistics and are left out.",
        "Not among the methods of the TAET paper; no golden values exist for it.",
    )
    cost = "13F+12B (trades), 11F+11B (at)"
    official = {"epochs": 200, "milestones": (100, 150), "factors": (0.1, 0.01)}
    small = ({"begin": 1}, {"base": "at", "begin": 1})

    @dataclass(frozen=True)
    class Hparams:
        """Base method and calibration."""

        base: str = setting("trades", choices=("trades", "at"), help="the method that is calibrated")
        beta: float = setting(6.0, above=0.0, help="TRADES' trade-off before calibration")
        lambda_1: float = setting(0.5, low=0.0, help="base radius in units of eps")
        lambda_2: float = setting(0.5, low=0.0, help="base trade-off in units of beta")
        begin: int = setting(10, low=1, help="first calibrated epoch of the full-length recipe, 0-based")

    def setup(self, model: nn.Module, context: Context) -> None:
        """Make the rule of the radii; its robust accuracies calibrate the trade-off too."""
        self.radii = CalibratedRadii(self.hp.lambda_1, self.hp.begin, context)

    def trade_off(self, y: Tensor, context: Context, like: Tensor) -> Tensor:
        """beta_y of each image (N)."""
        robust = self.radii.robust
        share = robust + self.hp.lambda_2 if self.radii.begun(context) else torch.ones_like(robust)
        beta: Tensor = share.to(like.dtype)[y] * self.hp.beta
        return beta / (1 + beta)

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """TRADES' with two outer forwards, or adversarial training's."""
        more = 2.0 if self.hp.base == "trades" else 0.0
        return recipe.steps + 1 + more, recipe.steps + 1 + more / 2

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """The base method's attack with the class's radius."""
        eps = context.eps * self.radii.of(y, context, x)
        if self.hp.base == "at":
            return context.pgd(
                model, x, lambda z: cross_entropy(z, y, reduction="sum"), start="uniform-clamped", mode="train", eps=eps
            )
        model.eval()
        with torch.no_grad():
            clean = log_softmax(model(x), 1)
        return context.pgd(model, x, lambda z: kl_rows(clean, log_softmax(z, 1)), start=self.start, eps=eps)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The calibrated loss; counts robust predictions by class."""
        logits = model(x) if self.hp.base == "trades" else None
        adversarial = model(x_adv)
        self.radii.see(adversarial.detach(), y, context)
        if logits is None:
            return cross_entropy(adversarial, y), {}
        beta = self.trade_off(y, context, logits)
        natural = cross_entropy(logits, y, reduction="none")
        kl = kl_rows(log_softmax(logits, 1), log_softmax(adversarial, 1))
        parts = {"natural_ce": natural.detach().mean(), "kl_mean": kl.detach().mean()}
        return ((1 - beta) * natural + beta * kl).mean(), parts

    def on_epoch_end(self, context: Context) -> None:
        """The robust accuracy of this epoch calibrates the next one."""
        self.radii.end_epoch(context)

    def state(self) -> dict[str, Any]:
        """Counters and robust accuracy."""
        return self.radii.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Put counters and robust accuracy back."""
        self.radii.load_state(state)
