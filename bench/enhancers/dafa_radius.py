"""The radius part of DAFA: Lee et al., ICLR 2024, around any method.

At the end of epoch `warm_up` of 110 (from 1), with S_ij the mean probability of class j over the adversarial images of
class i in that epoch, every pair i != j adds

    W_i += lam S_ij S_jj   if S_ii < S_jj,      W_i -= lam S_ji S_ii   otherwise

and from then on radius and step of the inner attack are W_y eps and W_y step. W_c = 1 before, is kept at or above 0,
and pairs with a class that had no image add nothing. The loss is the method's own: DAFA's weighted clean term is not
part of this enhancer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from bench.api import ConfusionRadii, Context, Enhancer, Inner, register, setting


@register("enhancers")
class DistanceAwareRadius(Enhancer["DistanceAwareRadius.Hparams"]):
    """Radius and step by class, from the confusion of adversarial images."""

    name = "dafa-radius"
    paper = "Lee et al., ICLR 2024"
    formula = "eps_c = W_c eps, step_c = W_c step;  W from the confusion at the warm-up's end"
    licence = "not determined"
    differences = ("DAFA also weights the clean term of TRADES by W; that is the method's, not this enhancer's.",)
    claims = frozenset({"radius"})
    off = {"lam": 0.0}
    small = {"warm_up": 30}

    @dataclass(frozen=True)
    class Hparams:
        """Strength and time."""

        lam: float = setting(1.0, low=0.0, help="lambda, strength of the class weights; 0: off")
        warm_up: int = setting(70, low=1, help="epoch of 110, counted from 1, at whose end the weights are set")

    def setup(self, model: nn.Module, context: Context) -> None:
        """Make the rule, which `dafa` follows too."""
        self.radii = ConfusionRadii(self.hp.lam, self.hp.warm_up, context)

    def inner(self, attack: Inner, context: Context) -> Inner:
        """Radius and step of each image."""
        factors = self.radii.factors(context)
        if factors is None or context.labels is None or self.hp.lam == 0:
            return attack
        own = factors[context.labels].view(-1, 1, 1, 1)
        return replace(attack, eps=attack.eps * own, step=attack.step * own)

    def after_loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, logits: Tensor | None, context: Context) -> None:
        """Take in the confusion of adversarial images."""
        if logits is not None and x_adv is not x and context.labels is not None:
            self.radii.see(logits, context.labels, context)

    def after_epoch(self, model: nn.Module, context: Context) -> None:
        """Set the weights, once."""
        self.radii.end_epoch(context)

    def state(self) -> dict[str, Any]:
        """Weights and sums."""
        return self.radii.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.radii.load_state(state)
