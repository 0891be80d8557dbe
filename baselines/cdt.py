"""CDT: Ye et al., Identifying and Compensating for Feature Deviation in Imbalanced Learning, 2020 (arXiv 2001.01385).

Class-dependent temperatures, as a baseline of RoBal's paper, on adversarial logits z = z(x'):

    L = CE(z / a, y),   a_c = (n_max / n_c)^tau

The attack and the test see plain z. For the same change after a plain training see `cdt-posthoc`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bench.api import Context, register, setting

from ._robal import OneSided, counts_of


@register("methods")
class ClassTemperatures(OneSided["ClassTemperatures.Hparams"]):
    """Cross-entropy of logits that rare classes must exaggerate."""

    name = "cdt"
    formula = "L = CE(z(x')/a, y),  a_c = (n_max/n_c)^tau,  x' from x + eps U(0,1)"

    @dataclass(frozen=True)
    class Hparams:
        """How steep the temperatures are."""

        tau: float = setting(0.3, low=0.0, help="exponent of the temperatures; 0: plain cross-entropy")

    def tempered(self, z: Tensor, context: Context) -> Tensor:
        """The logits of training, z / a (N x C)."""
        counts = counts_of(context, z)
        context.extras["temperatures"] = temperatures = (counts.max() / counts) ** self.hp.tau
        return z / temperatures

    def outer(self, z: Tensor, y: Tensor, context: Context) -> Tensor:
        """Cross-entropy of the divided logits."""
        return context.cross_entropy(self.tempered(z, context), y)
