"""tau-norm: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020.

As a baseline of RoBal's paper: a plain adversarial training, L = CE(z(x'), y), evaluated with normalised rows

    z_c = <f, w_c / |w_c|^tau>

without bias; attacks at test time do not differentiate the norm. tau 0 is the plain head without its bias.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import linear

from bench.api import register, setting

from ._robal import Adjusted, TwoForms


class NormalisedRows(TwoForms):
    """Rows divided by a power of their norms when deployed."""

    def __init__(self, features: int, classes: int, tau: float) -> None:
        super().__init__(features, classes)
        self.tau = tau

    def deploy(self, features: Tensor) -> Tensor:
        """<f, w_c / |w_c|^tau>."""
        norms = self.weight.norm(dim=1, keepdim=True).detach()
        return linear(features, self.weight / norms**self.tau)


@register("methods")
class TauNorm(Adjusted["TauNorm.Hparams"]):
    """Plain training, normalised classifier."""

    name = "tau-norm"
    formula = "L = CE(z(x'), y),  x' from x + eps U(0,1); test: z_c = <f, w_c/|w_c|^tau>"
    needs = frozenset()

    @dataclass(frozen=True)
    class Hparams:
        """How far rows are normalised."""

        tau: float = setting(1.0, low=0.0, help="exponent of the norm; 0: not at all")

    def build_head(self, features: int, classes: int) -> nn.Module:
        """The head with two forms."""
        return NormalisedRows(features, classes, self.hp.tau)
