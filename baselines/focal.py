"""Focal loss: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, in adversarial training.

As a baseline of RoBal's paper, on adversarial logits z = z(x'), in its binary form over all classes:

    L = (1/N) sum_{i,k} -(1 - t_ik)^gamma log t_ik,   t_ik = sigmoid(z_ik) if k = y_i, else sigmoid(-z_ik)

`form=softmax` is the other one of the code, (1/2) mean (1 - p_y)^gamma CE. The head's bias starts at
log(pi / (1 - pi)), so that each sigmoid starts at its class's share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from bench.api import Context, register, setting

from ._binary import focal_softmax, focal_terms
from ._robal import FRAME, OFFICIAL, OneSided


@register("methods")
class Focal(OneSided["Focal.Hparams"]):
    """Sigmoids on which easy answers weigh little."""

    name = "focal"
    formula = "L = (1/N) sum_{i,k} -(1-t)^gamma log t,  t = sigmoid(+-z(x')),  x' from x + eps U(0,1)"
    differences = (
        *FRAME,
        "The released warm-up of 5 epochs compounds too: 0.04, 0.024, then 0.0192 up to epoch 59 (official only).",
        "The softmax form is in RoBal's code and in none of its configurations.",
    )
    official: ClassVar[dict[str, Any]] = {**OFFICIAL, "warmup": 5}
    small = ({}, {"form": "softmax"})

    @dataclass(frozen=True)
    class Hparams:
        """The focus."""

        gamma: float = setting(2.0, low=0.0, help="exponent: how little easy answers weigh")
        form: Literal["binary", "softmax"] = setting("binary", help="a sigmoid a class, or the softmax")

    def setup(self, model: nn.Module, context: Context) -> None:
        """Start the head's bias at the log odds of the class shares."""
        bias = getattr(getattr(model, "head", None), "bias", None)
        if isinstance(bias, Tensor) and self.hp.form == "binary":
            with torch.no_grad():
                bias.copy_(torch.logit(context.class_counts / context.class_counts.sum()))

    def outer(self, z: Tensor, y: Tensor, context: Context) -> Tensor:
        """The focal loss."""
        if self.hp.form == "softmax":
            return focal_softmax(z, y, self.hp.gamma)
        return focal_terms(z, y, self.hp.gamma).sum() / len(z)
