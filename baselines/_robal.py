"""What the baselines of RoBal's paper share: one frame of training, one attack, class weights, heads, second stages.

Wu et al., Adversarial Robustness under Long-Tailed Distribution, CVPR 2021, compare long-tail losses, heads and
re-training under one frame: x' = PGD on plain CE of the network's output from x + eps U(0,1) in eval mode, whatever the
outer loss. `paper` gives them the common recipe of this benchmark; `official` RoBal's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, normalize

from bench.api import Context, Method, setting

#: settings of a baseline
H = TypeVar("H")
PAPER = "Wu et al., CVPR 2021 (RoBal), baseline list"
#: the released frame: the learning rate falls again in every epoch after 60, so training stands still from about 63 on
OFFICIAL: dict[str, Any] = {
    "epochs": 80, "batch_size": 64, "weight_decay": 2e-4, "milestones": (59, 74), "factors": (0.1, 0.01),
    "compounding": True, "drop_last": True, "eps": 0.031, "step": 0.0078, "steps": 5,
}  # fmt: skip
#: how a second stage learns
STAGE: dict[str, Any] = {"lr": 0.1, "milestones": (), "factors": (), "compounding": False}
FRAME = (
    "The released schedule compounds, so training is frozen from about epoch 63 (official only).",
    "The script attacks with 5 steps of 0.0078 in 0.031 and trains 80 epochs with batch 64 on a WRN-34-10.",
)


class OneSided(Method[H]):
    """Adversarial training with a loss on z(x'): a baseline writes `outer` and perhaps a head."""

    paper = PAPER
    differences: ClassVar[tuple[str, ...]] = FRAME
    official = OFFICIAL
    needs = frozenset({"class_counts"})

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, context: Context) -> Tensor:
        """PGD on the cross-entropy of the network's output from one-sided noise."""
        return context.pgd(model, x, lambda z: cross_entropy(z, y, reduction="sum"), start="one-sided")

    def outer(self, z: Tensor, y: Tensor, context: Context) -> Tensor:
        """The loss of adversarial logits z (N x C); default: mean cross-entropy."""
        return context.cross_entropy(z, y)

    def loss(
        self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, context: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The outer loss of the adversarial batch."""
        return self.outer(model(x_adv), y, context), {}


class SecondStage(OneSided[H]):
    """One epoch at rate 0.1 from the finished cell of a plain training, `base`, at the same place.

    A frozen part is one of rate 0 in train mode: the statistics of batch norm keep moving, as in the released code.
    """

    always: ClassVar[dict[str, Any]] = {"epochs": 1, **STAGE}
    official: ClassVar[dict[str, Any]] = {k: v for k, v in OFFICIAL.items() if k not in ("epochs", *STAGE)}
    differences: ClassVar[tuple[str, ...]] = (
        FRAME[1],
        "Fine-tuning goes on for up to 10 epochs in the code; epoch 81, the first of them, is evaluated: one here.",
    )
    needs = frozenset({"class_counts"})

    @dataclass(frozen=True)
    class Hparams:
        """Where it begins."""

        base: str = setting("plain", help="method of the finished cell that it goes on from")

    def cells(self) -> dict[str, str]:
        """The first stage."""
        base: str = self.hp.base  # type: ignore[attr-defined]
        return {"init": base}


def counts_of(context: Context, like: Tensor) -> Tensor:
    """n_c (length C) in the type of `like`, at least float32."""
    return context.class_counts.to(torch.promote_types(like.dtype, torch.float32))


def effective_weights(counts: Tensor, beta: float) -> Tensor:
    """e_c (length C, sum C) in proportion to (1 - beta) / (1 - beta^n_c): inverse effective numbers; beta 0: all 1."""
    weights = 1 / (1 - beta ** counts.double())
    return (weights * (len(weights) / weights.sum())).to(counts.dtype)


def cosines(features: Tensor, weight: Tensor, gamma: float = 0.0) -> Tensor:
    """<f/|f|, w_c/(|w_c| + gamma)> of features (N x D) and rows w_c (C x D): N x C."""
    rows = normalize(weight, dim=1) if gamma == 0 else weight / (weight.norm(dim=1, keepdim=True) + gamma)
    return linear(normalize(features, dim=1), rows)


class TwoForms(nn.Linear):
    """A linear head that is another one when deployed; `counts` (length C) travels with the checkpoint."""

    counts: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.register_buffer("counts", torch.ones(classes))
        self.deployed = False

    def forward(self, features: Tensor) -> Tensor:
        """Logits N x C of features N x D."""
        return self.deploy(features) if self.deployed else super().forward(features)

    def deploy(self, features: Tensor) -> Tensor:
        """The form at inference."""
        raise NotImplementedError("abstract")


class Adjusted(OneSided[H]):
    """A plain training whose head changes its form at inference: nothing is trained again."""

    def setup(self, model: nn.Module, context: Context) -> None:
        """Store the class counts in the head."""
        for module in model.modules():
            if isinstance(module, TwoForms):
                module.counts.copy_(context.class_counts)

    def deploy(self, model: nn.Module, on: bool) -> None:
        """Switch the head."""
        for module in model.modules():
            if isinstance(module, TwoForms):
                module.deployed = on
