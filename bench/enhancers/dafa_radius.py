"""The radius part of DAFA: Lee et al., ICLR 2024, around any method.

At the end of epoch `warm_up` of 110 (from 1), with S_ij the mean probability of class j over the adversarial images of
class i in that epoch, every pair i != j adds

    W_i += lam S_ij S_jj   if S_ii < S_jj,      W_i -= lam S_ji S_ii   otherwise

and from then on radius and step of the inner attack are W_y eps and W_y step. W_c = 1 before, is kept at or above 0,
and pairs with a class that had no image add nothing. The loss is the method's own: DAFA's weighted clean term is not
part of this enhancer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, Inner, register, setting


@register("enhancers")
class DistanceAwareRadius(Enhancer["DistanceAwareRadius.Hparams"]):
    """Radius and step by class, from the confusion of adversarial images."""

    name = "dafa-radius"
    paper = "Lee et al., ICLR 2024"
    formula = "eps_c = W_c eps, step_c = W_c step;  W from the confusion at the warm-up's end"
    licence = "not determined"
    differences = ("DAFA also weights the clean term of TRADES by W; that is the method's, not this enhancer's.",)
    claims = frozenset({"radius"})
    off = {"lam": 0.0}
    small = {"warm_up": 30}

    @dataclass(frozen=True)
    class Hparams:
        """Strength and time."""

        lam: float = setting(1.0, low=0.0, help="lambda, strength of the class weights; 0: off")
        warm_up: int = setting(70, low=1, help="epoch of 110, counted from 1, at whose end the weights are set")

    def setup(self, model: nn.Module, context: Context) -> None:
        """Equal weights, empty sums."""
        classes = context.num_classes
        self.weights, self.seen = (f(classes, device=context.device) for f in (torch.ones, torch.zeros))
        self.sums = torch.zeros(classes, classes, device=context.device)

    def measuring(self, context: Context) -> bool:
        """Whether this is the last epoch of the warm-up."""
        return context.epoch == max(context.recipe.epoch_at(self.hp.warm_up / 110 * context.recipe.full_epochs) - 1, 0)

    def inner(self, attack: Inner, context: Context) -> Inner:
        """Radius and step of each image."""
        if context.labels is None or self.hp.lam == 0:
            return attack
        own = self.weights[context.labels].view(-1, 1, 1, 1)
        return replace(attack, eps=attack.eps * own, step=attack.step * own)

    def after_loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, logits: Tensor | None, context: Context) -> None:
        """In the measuring epoch, sum the probabilities by class."""
        if logits is not None and x_adv is not x and context.labels is not None and self.measuring(context):
            self.sums = self.sums.index_add(0, context.labels, logits.softmax(1).to(self.sums))
            self.seen = self.seen.index_add(0, context.labels, torch.ones_like(context.labels, dtype=self.seen.dtype))

    def class_weights(self, similarity: Tensor, present: Tensor) -> Tensor:
        """W (C) from S (C x C) and which classes had images (C)."""
        own = similarity.diagonal()
        change = torch.where(own[:, None] < own[None, :], similarity * own[None, :], -similarity.T * own[:, None])
        change = (change * (present[:, None] & present[None, :])).fill_diagonal_(0.0)
        weights: Tensor = 1 + self.hp.lam * change.sum(1)
        return weights.clamp(min=0.0)

    def after_epoch(self, model: nn.Module, context: Context) -> None:
        """Set the weights, once."""
        if self.measuring(context):
            self.weights = self.class_weights(self.sums / self.seen.clamp(min=1.0)[:, None], self.seen > 0)

    def state(self) -> dict[str, Any]:
        """Weights and sums."""
        return {"weights": self.weights, "sums": self.sums, "seen": self.seen}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.weights, self.sums, self.seen = (state[k].to(self.seen) for k in ("weights", "sums", "seen"))
