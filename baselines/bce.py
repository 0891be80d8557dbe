"""Binary cross-entropy in adversarial training: one sigmoid a class.

In the code of RoBal's paper (and in none of its configurations), on adversarial logits z = z(x'):

    L = T mean over N C of BCE(z / T, onehot(y))
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bench.api import Context, register, setting

from ._binary import binary
from ._robal import OneSided


@register("methods")
class Binary(OneSided["Binary.Hparams"]):
    """A yes-or-no question a class."""

    name = "bce"
    formula = "L = T mean_{N C} BCE(z(x')/T, onehot(y)),  x' from x + eps U(0,1)"
    needs = frozenset()

    @dataclass(frozen=True)
    class Hparams:
        """The temperature."""

        T: float = setting(1.0, above=0.0, help="temperature of the logits")

    def outer(self, z: Tensor, y: Tensor, context: Context) -> Tensor:
        """Binary cross-entropy."""
        return self.hp.T * binary(z / self.hp.T, y)
