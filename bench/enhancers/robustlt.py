"""RobustLT (CVPR 2026, arXiv 2605.13395): class-wise radius and step of the inner attack, ramped up.

With K_c = n_max / n_c, s_c = sqrt(log K_c) and the class shares pi of the whole training set,

    eps_c = (1 - alpha) eps + alpha eps s_c / sum_k pi_k s_k,     step_c = (eps_c / eps) step

and in epoch t (from 1) of T both times min((t - 1) / (beta T), 1); beta 0: no ramp. So the first epoch has radius 0,
and the mean radius over training images is eps, while the rarest class of CIFAR-10-LT at IR 50 trains at 1.61 times it.
Equal counts give eps for every class (the released code divides zero by zero).

`paper`: the method's own attack, with radius, step and random start by image. `official`: what the released code does
to every base: start clip(x + U(-eps, eps)) with the base's radius, batch statistics in the attack (the running ones
frozen). Its discarded clean forward after the loss (at-bsl, taet, robal) is `clean_forward=true`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, Inner, register, setting


@register("enhancers")
class RobustLT(Enhancer["RobustLT.Hparams"]):
    """Rarer classes train at larger radii."""

    name = "robustlt"
    paper = "RobustLT, CVPR 2026"
    formula = "eps_c = ((1-alpha) + alpha s_c / sum pi s) eps ramp(t),  s_c = sqrt(log n_max/n_c); the step likewise"
    differences = (
        "The released bases are not the authors' own: all attack from clip(x + U(-eps, eps)) on batch statistics with "
        "the running ones frozen (official only).",
        "The start keeps the base's radius in the released code, so images of small radius leave their ball until the "
        "first projection; another implementation scales it (scaled_start).",
        "Equal counts divide zero by zero in the released code; here every class then has the base's radius.",
        "Two train-mode forwards for logging after every step, which move the running statistics, are left out.",
    )
    official = {"start": "uniform-clamped", "mode": "train-frozen", "scaled_start": False}
    claims = frozenset({"radius"})
    off = {"alpha": 0.0, "beta": 0.0}

    @dataclass(frozen=True)
    class Hparams:
        """Spread over the classes and ramp."""

        alpha: float = setting(0.3, low=0.0, high=1.0, help="weight of the class-wise part of the radius")
        beta: float = setting(0.8, low=0.0, help="share of the training over which the radius rises; 0: none")
        start: Literal["base", "uniform-clamped"] = setting("base", help="first iterate of the attack")
        mode: Literal["base", "train-frozen"] = setting("base", help="network's mode during the attack")
        scaled_start: bool = setting(True, help="scale a random start to the image's own radius")
        clean_forward: bool = setting(False, help="a discarded clean train-mode forward after the loss")

    def largest(self, counts: Tensor) -> Tensor:
        """eps_c / eps without the ramp (length C)."""
        counts = counts.double()
        spread = (counts.max() / counts).log().sqrt()
        mean = (counts / counts.sum() * spread).sum()
        relative = torch.where(mean > 0, spread / mean, torch.ones_like(spread))
        return (1 - self.hp.alpha) + self.hp.alpha * relative

    def ramp(self, context: Context) -> float:
        """The factor of the current epoch, from 0 to 1."""
        length = self.hp.beta * context.recipe.epochs
        return min(context.epoch / length, 1.0) if length > 0 else 1.0

    def factors(self, context: Context) -> Tensor:
        """eps_c / eps of the current epoch (length C, float64)."""
        return self.largest(context.class_counts) * self.ramp(context)

    def inner(self, attack: Inner, context: Context) -> Inner:
        """Radius and step of each image."""
        assert context.labels is not None
        own = self.factors(context)[context.labels].view(-1, 1, 1, 1)
        changed = replace(attack, eps=attack.eps * own, step=attack.step * own)
        if not self.hp.scaled_start:
            changed = replace(changed, spread=attack.eps)
        if self.hp.start != "base":
            changed = replace(changed, start=self.hp.start)
        return changed if self.hp.mode == "base" else replace(changed, mode=self.hp.mode)

    def after_loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, logits: Tensor | None, context: Context) -> None:
        """The discarded forward."""
        if self.hp.clean_forward and x_adv is not x:
            with torch.no_grad():
                model(x)
