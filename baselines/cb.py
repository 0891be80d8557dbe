"""Class-balanced loss: Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019.

As a baseline of RoBal's paper, on adversarial logits z = z(x'): an image's terms are multiplied by the inverse
effective number of its class, e_c in proportion to (1 - beta) / (1 - beta^n_c), of sum C:

    focal    L = (1/N) sum_{i,k} -e_{y_i} (1 - t_ik)^gamma log t_ik,  t = sigmoid(+-z), see `focal`
    sigmoid  L = mean over N C of e_y BCE(z, onehot)
    softmax  L = mean over N C of e_y BCE(softmax(z), onehot)

`paper` and `official` take the focal form with beta 0.9999 and gamma 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bench.api import Context, register, setting

from ._binary import binary, binary_of_softmax, focal_balanced
from ._robal import FRAME, OneSided, counts_of, effective_weights


@register("methods")
class ClassBalanced(OneSided["ClassBalanced.Hparams"]):
    """Loss weighted by inverse effective numbers."""

    name = "cb"
    formula = "L = (1/N) sum_{i,k} -e_y (1-t)^gamma log t,  e_c ~ (1-beta)/(1-beta^n_c),  x' from x + eps U(0,1)"
    differences = (*FRAME, "The sigmoid and softmax forms are in RoBal's code and in none of its configurations.")
    small = ({"form": "focal"}, {"form": "sigmoid"}, {"form": "softmax"})

    @dataclass(frozen=True)
    class Hparams:
        """The weights and what they multiply."""

        beta: float = setting(0.9999, low=0.0, high=0.9999999, help="how far counts differ in weight; 0: not at all")
        gamma: float = setting(2.0, low=0.0, help="exponent of the focal form")
        form: Literal["focal", "sigmoid", "softmax"] = setting("focal", help="the loss that is weighted")

    def outer(self, z: Tensor, y: Tensor, context: Context) -> Tensor:
        """The weighted loss."""
        weights = effective_weights(counts_of(context, z), self.hp.beta)
        context.extras["class_weights"] = weights
        if self.hp.form == "focal":
            return focal_balanced(z, y, self.hp.gamma, weights)
        return (binary if self.hp.form == "sigmoid" else binary_of_softmax)(z, y, weights[y])
