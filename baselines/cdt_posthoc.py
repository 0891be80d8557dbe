"""Post-hoc class-dependent temperatures: Ye et al., 2020 (arXiv 2001.01385), after a plain training.

As a baseline of RoBal's paper: a plain adversarial training, L = CE(z(x'), y), evaluated with z_c / n_c^tau. The code
divides by n_c, not by n_c/n_max: logits shrink by 4 to 13 times at tau 0.3, which weakens attacks on cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import linear

from bench.api import register, setting

from ._robal import FRAME, Adjusted, TwoForms


class TemperatureHead(TwoForms):
    """Logits divided by a power of the class counts when deployed."""

    def __init__(self, features: int, classes: int, tau: float) -> None:
        super().__init__(features, classes)
        self.tau = tau

    def deploy(self, features: Tensor) -> Tensor:
        """z_c / n_c^tau."""
        return linear(features, self.weight, self.bias) / self.counts**self.tau


@register("methods")
class PosthocTemperatures(Adjusted["PosthocTemperatures.Hparams"]):
    """Plain training, divided logits."""

    name = "cdt-posthoc"
    formula = "L = CE(z(x'), y),  x' from x + eps U(0,1); test: z_c / n_c^tau"
    differences = (*FRAME, "Divides by n_c^tau as in the code, which shrinks all logits; predictions see only ratios.")

    @dataclass(frozen=True)
    class Hparams:
        """How steep the temperatures are."""

        tau: float = setting(0.3, low=0.0, help="exponent of the counts; 0: the plain head")

    def build_head(self, features: int, classes: int) -> nn.Module:
        """The head with two forms."""
        return TemperatureHead(features, classes, self.hp.tau)
