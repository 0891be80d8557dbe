"""rw-fine: re-weighted fine-tuning, as a baseline of RoBal's paper (Wu et al., CVPR 2021).

A second stage after a plain adversarial training: everything learns for one epoch at rate 0.1 under the class-balanced
focal loss of `cb`, on plain batches. The paper's list speaks of a frozen backbone; its configuration freezes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bench.api import Context, register, setting

from ._binary import focal_balanced
from ._robal import SecondStage, counts_of, effective_weights


@register("methods")
class ReweightedTuning(SecondStage["ReweightedTuning.Hparams"]):
    """A finished network tuned under inverse effective numbers."""

    name = "rw-fine"
    formula = "L = (1/N) sum_{i,k} -e_y (1-t)^gamma log t from a finished network,  x' from x + eps U(0,1)"
    differences = (
        *SecondStage.differences,
        "The paper speaks of a frozen backbone; the configuration has no rates by layer, so everything learns.",
    )

    @dataclass(frozen=True)
    class Hparams(SecondStage.Hparams):
        """Where it begins, and the loss."""

        beta: float = setting(0.9999, low=0.0, high=0.9999999, help="how far counts differ in weight; 0: not at all")
        gamma: float = setting(2.0, low=0.0, help="exponent: how little easy answers weigh")

    def outer(self, z: Tensor, y: Tensor, context: Context) -> Tensor:
        """The weighted focal loss."""
        return focal_balanced(z, y, self.hp.gamma, effective_weights(counts_of(context, z), self.hp.beta))
