"""Clean plus adversarial loss, the base that another code gives UDR (the CGRm repository's `UDR.py`).

    pgd     L = natural CE(z(x), y) + beta CE(z(x'), y),                x' = PGD on CE
    trades  L = CE(z(x), y) + beta mean KL(p(x) || p(x')), p(x) held,   x' = PGD on that KL

from clip(x + U(-eps, eps), [0,1]), train-mode forwards x, x'. UDR itself is the soft ball of the enhancer of the same
name: `udr+udr[move=last,floor=0]` is that code's UDR. Beside plain adversarial training it differs first of all by the
clean term and by a loss 1 + beta times as large at an equal learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from bench.api import Context, Method, Recipe, register, setting

from ._terms import kl_rows


@register("methods")
class CleanAndAdversarial(Method["CleanAndAdversarial.Hparams"]):
    """Cross-entropy on clean images and a robust term, four times as heavy."""

    name = "udr"
    paper = "Bui et al., ICLR 2022, as re-implemented in the code of arXiv 2608.09688"
    formula = "L = CE(z(x), y) + beta CE(z(x'), y)   or   CE(z(x), y) + beta KL(p(x) || p(x'))"
    differences = (
        "UDR's authors train on CE(z(x')) alone, together with AWP: `at+udr+awp[gamma=0.01]`.",
        "The weight of the clean term is ignored by the trades form, as in the code.",
        "That code differentiates through a clamp to [0,1] inside the network call, which is left out.",
    )
    cost = "12F+12B"
    official = {"eps": 0.031, "step": 0.007}
    start = "uniform-clamped"

    @dataclass(frozen=True)
    class Hparams:
        """The two terms."""

        form: Literal["pgd", "trades"] = setting("pgd", help="the robust term and what the attack ascends")
        beta: float = setting(4.0, low=0.0, help="weight of the robust term")
        natural: float = setting(1.0, low=0.0, help="weight of the clean term (pgd)")

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """One clean pass more than adversarial training; `trades` looks at the clean images once in the attack."""
        return recipe.steps + 2.0 + (self.hp.form == "trades"), recipe.steps + 2.0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on cross-entropy, or on the KL from the clean prediction."""
        if self.hp.form == "pgd":
            return super().perturb(model, x, y, context)
        model.eval()
        with torch.no_grad():
            clean = log_softmax(model(x), 1)
        return context.pgd(model, x, lambda z: kl_rows(clean, log_softmax(z, 1)), start=self.start)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Clean term and robust term."""
        clean, adversarial = model(x), model(x_adv)
        natural = context.cross_entropy(clean, y)
        if self.hp.form == "pgd":
            robust, weight = context.cross_entropy(adversarial, y), self.hp.natural
        else:
            robust, weight = kl_rows(log_softmax(clean.detach(), 1), log_softmax(adversarial, 1)).mean(), 1.0
        logs = {"natural_ce": natural.detach(), "robust": robust.detach()}
        return weight * natural + self.hp.beta * robust, logs
