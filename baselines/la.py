"""Logit adjustment: Menon et al., Long-Tail Learning via Logit Adjustment, ICLR 2021, in adversarial training.

As a baseline of RoBal's paper, on adversarial logits z = z(x'), with the class shares pi:

    L = CE(z + tau log pi, y)

The attack and the test see plain z. With tau 1 the loss is AT-BSL's; the attack's start differs. For the same change
after a plain training see `la-posthoc`. `official` keeps the head's bias at its random start.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bench.api import Context, register, setting

from ._robal import FRAME, OFFICIAL, OneSided
from ._terms import log_counts


@register("methods")
class LogitAdjustment(OneSided["LogitAdjustment.Hparams"]):
    """Cross-entropy with the class prior on the logits."""

    name = "la"
    formula = "L = CE(z(x') + tau log pi, y),  x' from x + eps U(0,1)"
    differences = (*FRAME, "The released head never trains its bias (frozen_bias, official only).")
    official = {**OFFICIAL, "frozen_bias": True}

    @dataclass(frozen=True)
    class Hparams:
        """Weight of the prior."""

        tau: float = setting(1.0, low=0.0, help="weight of log pi")
        frozen_bias: bool = setting(False, help="leave the head's bias at its random start")

    def build_head(self, features: int, classes: int) -> nn.Module:
        """A linear layer whose bias may be fixed."""
        head = nn.Linear(features, classes)
        head.bias.requires_grad_(not self.hp.frozen_bias)
        return head

    def outer(self, z: Tensor, y: Tensor, context: Context) -> Tensor:
        """Cross-entropy of the adjusted logits."""
        log_n = log_counts(context, z)
        context.extras["bias"] = bias = self.hp.tau * (log_n - log_n.logsumexp(0))
        return context.cross_entropy(z + bias, y)
