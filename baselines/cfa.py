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

from bench.api import Context, Method, Recipe, register, setting

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
        """Counters of the current epoch and the robust accuracy of the last."""
        self.right, self.seen, self.robust = (torch.zeros(context.num_classes, device=context.device) for _ in range(3))

    def calibrated(self, context: Context) -> bool:
        """Whether class-wise values are in use."""
        return context.epoch >= max(context.recipe.epoch_at(self.hp.begin), 1)

    def radius(self, y: Tensor, context: Context, like: Tensor) -> Tensor | float:
        """The radius of each image (N x 1 x 1 x 1), or one for all before calibration."""
        if not self.calibrated(context):
            return context.eps
        share: Tensor = self.robust.to(like.dtype)[y] + self.hp.lambda_1
        return share.reshape(-1, 1, 1, 1) * context.eps

    def trade_off(self, y: Tensor, context: Context, like: Tensor) -> Tensor:
        """beta_y of each image (N)."""
        share = self.robust + self.hp.lambda_2 if self.calibrated(context) else torch.ones_like(self.robust)
        beta: Tensor = share.to(like.dtype)[y] * self.hp.beta
        return beta / (1 + beta)

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """TRADES' with two outer forwards, or adversarial training's."""
        more = 2.0 if self.hp.base == "trades" else 0.0
        return recipe.steps + 1 + more, recipe.steps + 1 + more / 2

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """The base method's attack with the class's radius."""
        eps = self.radius(y, context, x)
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
        correct = (adversarial.detach().argmax(1) == y).to(self.right.dtype)
        self.right = self.right.index_add(0, y, correct)
        self.seen = self.seen.index_add(0, y, torch.ones_like(correct))
        if logits is None:
            return cross_entropy(adversarial, y), {}
        beta = self.trade_off(y, context, logits)
        natural = cross_entropy(logits, y, reduction="none")
        kl = kl_rows(log_softmax(logits, 1), log_softmax(adversarial, 1))
        parts = {"natural_ce": natural.detach().mean(), "kl_mean": kl.detach().mean()}
        return ((1 - beta) * natural + beta * kl).mean(), parts

    def on_epoch_end(self, context: Context) -> None:
        """The robust accuracy of this epoch calibrates the next one; an absent class keeps its value."""
        self.robust = torch.where(self.seen > 0, self.right / self.seen.clamp(min=1.0), self.robust)
        self.right, self.seen = torch.zeros_like(self.right), torch.zeros_like(self.seen)

    def state(self) -> dict[str, Any]:
        """Counters and robust accuracy."""
        return {"right": self.right, "seen": self.seen, "robust": self.robust}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put counters and robust accuracy back."""
        self.right, self.seen, self.robust = (state[k].to(self.seen) for k in ("right", "seen", "robust"))
