"""LDAM: Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019.

As a baseline of RoBal's paper, on adversarial logits z = z(x'):

    L = CE(s (z - m_y onehot(y)), y),   m_c = max_m (n_min / n_c)^g,   g = 1/4

With deferred re-weighting (DRW; `drw_epochs`, `drw_betas`) CE takes class weights e_c, in proportion to
(1 - beta) / (1 - beta^n_c) and of sum C, from the beta of the last epoch reached; it is divided by the batch's sum of
weights. `ldam[drw_epochs=0:40,drw_betas=0:0.9999]` is the authors' pair. Neither features nor weights are normalised.

`paper` and `official` have max_m 0.5 and s 1 without DRW, as RoBal's configuration; LDAM's own s is 30.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.api import Context, UsageError, register, setting

from ._robal import FRAME, OneSided, counts_of, effective_weights
from ._terms import onehot


@register("methods")
class DistributionAwareMargin(OneSided["DistributionAwareMargin.Hparams"]):
    """Cross-entropy with larger margins for rarer classes."""

    name = "ldam"
    formula = "L = CE(s (z(x') - m_y onehot(y)), y),  m_c = max_m (n_min/n_c)^(1/4),  x' from x + eps U(0,1)"
    differences = (
        *FRAME,
        "LDAM's own scale is 30 on a normalised head; RoBal's configuration has scale 1 on a plain linear one.",
        "Deferred re-weighting is in RoBal's code and in none of its configurations.",
    )
    small = ({}, {"drw_epochs": (0, 50), "drw_betas": (0.0, 0.999)})

    @dataclass(frozen=True)
    class Hparams:
        """Margin, scale, and the deferred weights."""

        max_m: float = setting(0.5, low=0.0, help="margin of the rarest class")
        g: float = setting(0.25, low=0.0, help="how fast margins grow with rarity")
        s: float = setting(1.0, above=0.0, help="scale of the logits")
        drw_epochs: tuple[int, ...] = setting((), low=0, help="epochs of the full-length recipe at which beta changes")
        drw_betas: tuple[float, ...] = setting((), low=0.0, high=0.9999999, help="beta from each of these epochs on")

        def __post_init__(self) -> None:
            if len(self.drw_epochs) != len(self.drw_betas) or list(self.drw_epochs) != sorted(set(self.drw_epochs)):
                raise UsageError(
                    f"ldam: drw_epochs={self.drw_epochs} and drw_betas={self.drw_betas} do not fit together; "
                    "give increasing epochs and one beta for each."
                )

    def margins(self, counts: Tensor) -> Tensor:
        """m_c (length C)."""
        margins: Tensor = self.hp.max_m * (counts.min() / counts) ** self.hp.g
        return margins

    def class_weights(self, counts: Tensor, context: Context) -> Tensor | None:
        """e_c (length C) of the current epoch; None before the first of `drw_epochs`, all 1 where beta is 0."""
        reached = [
            beta
            for epoch, beta in zip(self.hp.drw_epochs, self.hp.drw_betas, strict=True)
            if context.epoch >= context.recipe.epoch_at(epoch)
        ]
        return effective_weights(counts, reached[-1]) if reached else None

    def outer(self, z: Tensor, y: Tensor, context: Context) -> Tensor:
        """Cross-entropy with margins, weighted once DRW has begun."""
        counts = counts_of(context, z)
        margins, weights = self.margins(counts), self.class_weights(counts, context)
        context.extras["margins"] = margins
        context.extras["class_weights"] = torch.ones_like(counts) if weights is None else weights
        return cross_entropy(self.hp.s * (z - margins[y][:, None] * onehot(y, z)), y, weight=weights)
