"""Post-hoc logit adjustment: Menon et al., Long-Tail Learning via Logit Adjustment, ICLR 2021.

As a baseline of RoBal's paper: a plain adversarial training, L = CE(z(x'), y), evaluated with z - tau_p log pi, where
pi are the class shares of the training set. tau_p 0 is the plain head.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import linear

from bench.api import register, setting

from ._robal import Adjusted, TwoForms


class PriorHead(TwoForms):
    """Logits without the class prior when deployed."""

    def __init__(self, features: int, classes: int, tau: float) -> None:
        super().__init__(features, classes)
        self.tau = tau

    def deploy(self, features: Tensor) -> Tensor:
        """Z - tau log pi."""
        return linear(features, self.weight, self.bias) - self.tau * (self.counts / self.counts.sum()).log()


@register("methods")
class PosthocAdjustment(Adjusted["PosthocAdjustment.Hparams"]):
    """Plain training, adjusted logits."""

    name = "la-posthoc"
    formula = "L = CE(z(x'), y),  x' from x + eps U(0,1); test: z - tau_p log pi"

    @dataclass(frozen=True)
    class Hparams:
        """Weight of the prior."""

        tau_p: float = setting(1.0, low=0.0, help="weight of log pi at inference; 0: the plain head")

    def build_head(self, features: int, classes: int) -> nn.Module:
        """The head with two forms."""
        return PriorHead(features, classes, self.hp.tau_p)
