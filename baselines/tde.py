"""TDE: Tang et al., Long-Tailed Classification by Keeping the Good and Removing the Bad Momentum..., NeurIPS 2020.

As a baseline of RoBal's paper ("TDESim"). In training, with e the moving direction of the features,

    z_c = scale <f/|f|, w_c/(|w_c| + gamma)>,      e <- mu e + sum_i f_i/(N |f_i|)
    L = CE(z(x'), y)

and at inference that direction is taken out: z_c = scale <f/|f| - alpha cos(f, e) e, w_c/(|w_c| + gamma)>. The new term
has no factor 1 - mu, so e tends to 10 times the mean, and e is not normalised: alpha 10 is about 1. Here e starts at
zero and follows the train-mode forwards; the authors' starts from uninitialised memory and follows the eval-mode
forwards of the attack too (`record=always`, official).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, linear, normalize

from bench.api import register, setting

from ._robal import FRAME, OFFICIAL, Adjusted, TwoForms


class CausalHead(TwoForms):
    """Cosines that lose the moving direction at inference. `moving` (1 x D) travels with the checkpoint."""

    moving: Tensor

    def __init__(self, features: int, classes: int, hp: Tde.Hparams) -> None:
        super().__init__(features, classes)
        self.register_parameter("bias", None)
        self.register_buffer("moving", torch.zeros(1, features))
        self.hp = hp

    def forward(self, features: Tensor) -> Tensor:
        """Logits N x C of features N x D; follows the direction unless deployed and in eval mode."""
        unit = normalize(features, dim=1)
        if self.training or (self.hp.record == "always" and not self.deployed):
            with torch.no_grad():
                self.moving.mul_(self.hp.mu).add_(unit.mean(0, keepdim=True))
        if self.deployed and not self.training:
            along = cosine_similarity(features, self.moving, dim=1)[:, None]
            unit = unit - self.hp.alpha * along * self.moving
        weight = self.weight / (self.weight.norm(dim=1, keepdim=True) + self.hp.gamma)
        return self.hp.scale * linear(unit, weight)


@register("methods")
class Tde(Adjusted["Tde.Hparams"]):
    """Cosine training, and a test without what the optimiser's momentum has favoured."""

    name = "tde"
    formula = "L = CE(scale <f/|f|, w/(|w|+gamma)>, y) on x' from x + eps U(0,1); test: f/|f| - alpha cos(f,e) e"
    differences = (
        *FRAME,
        "The moving direction starts from uninitialised memory in the code; here at zero.",
        "The released training follows eval-mode forwards of the attack and of validation too (record=always).",
        "The shipped configuration has the test form on, with which training would attack the debiased head; "
        "the README's training switch turns it off.",
    )
    official = {**OFFICIAL, "record": "always"}
    needs = frozenset()
    small = ({}, {"record": "always"})

    @dataclass(frozen=True)
    class Hparams:
        """The head."""

        scale: float = setting(16.0, above=0.0, help="factor of the cosines")
        alpha: float = setting(0.1, low=0.0, help="how much of the moving direction is taken out at inference")
        mu: float = setting(0.9, low=0.0, high=1.0, help="decay of the moving direction")
        gamma: float = setting(1 / 32, low=0.0, help="added to the norm of a weight row")
        record: Literal["train", "always"] = setting("train", help="forwards that the direction follows")

    def build_head(self, features: int, classes: int) -> nn.Module:
        """The head with a moving direction."""
        return CausalHead(features, classes, self.hp)
