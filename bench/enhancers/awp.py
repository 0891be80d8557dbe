"""AWP, adversarial weight perturbation: Wu et al., NeurIPS 2020.

Loss and gradient are taken at perturbed weights. For every parameter whose name contains `weight` and that has two or
more dimensions (convolutions and linear layers), with the gradient g of the loss at the unperturbed weights on batch
statistics (the running ones are left alone),

    v = gamma |w| g / |g|,   w <- w + v;   loss, gradient and optimiser step there;   w <- w - v

The paper bounds |v| by gamma |w|; the code, and this, always go to the bound. The optimiser acts at the perturbed
point: weight decay shrinks w + v, and momentum stores gradients of the perturbed network.

`direction=optimiser` is RobustLT's AWP, another method: v points along one step of the model's own SGD (momentum,
Nesterov, weight decay) on -L, and its first forward moves the running statistics too. A momentum buffer of more than
about 2.35 times the gradient turns that from ascent to descent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, Inner, Recipe, Step, frozen_statistics, register, setting


@register("enhancers")
class WeightPerturbation(Enhancer["WeightPerturbation.Hparams"]):
    """Train at the worst weights nearby."""

    name = "awp"
    paper = "Wu et al., NeurIPS 2020"
    formula = "w <- w + gamma |w| g/|g| layer by layer; gradient and step there; w <- w - v"
    licence = "MIT"
    differences = (
        "The paper bounds the perturbation, the code always goes to the bound; kept.",
        "The authors compute g on a second network by a step of its own; its rate has no effect.",
        "Their loop attacks in train mode, with one more forward at the last iterate (mode=train, official only).",
        "AT-AWP has gamma 0.01 from the first epoch; TRADES-AWP 0.005 from epoch 10.",
    )
    official = {"mode": "train"}
    claims = frozenset({"weights"})
    off = {"gamma": 0.0}

    @dataclass(frozen=True)
    class Hparams:
        """Size and beginning."""

        gamma: float = setting(0.005, low=0.0, help="size of the perturbation relative to each weight; 0: off")
        begin: int = setting(0, low=0, help="first epoch (from 0) of the full-length recipe that perturbs")
        direction: Literal["gradient", "optimiser"] = setting("gradient", help="what the perturbation follows")
        mode: Literal["base", "train"] = setting("base", help="network's mode during the inner attack")

    def __init__(self, hparams: WeightPerturbation.Hparams | None = None) -> None:
        super().__init__(hparams)
        self.offsets: dict[str, Tensor] = {}
        self.unperturbed: Tensor | None = None

    def passes(self, recipe: Recipe) -> tuple[float, float]:
        """One more evaluation of the loss on the perturbed epochs' share."""
        share = recipe.share_from(self.hp.begin)
        return (share, share) if self.hp.gamma > 0 else (0.0, 0.0)

    def inner(self, attack: Inner, context: Context) -> Inner:
        """The authors' attack in train mode."""
        return attack if self.hp.mode == "base" else replace(attack, mode="train", look=True)

    def before_gradient(self, step: Step) -> None:
        """Move the weights uphill."""
        self.offsets = {}
        if self.hp.gamma == 0 or step.context.epoch < step.context.recipe.epoch_at(self.hp.begin):
            return
        named = {name: p for name, p in step.model.named_parameters() if p.requires_grad}
        if self.hp.direction == "gradient":
            with frozen_statistics(step.model):
                loss = step.loss()
        else:
            loss = step.loss()
        self.unperturbed = loss.detach()
        slopes = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        for (name, p), slope in zip(named.items(), slopes, strict=True):
            if "weight" in name and p.ndim > 1 and slope is not None:
                way = slope if self.hp.direction == "gradient" else own_step(step.optimizer, p, -slope)
                self.offsets[name] = self.hp.gamma * p.detach().norm() * way / (way.norm() + 1e-20)
        with torch.no_grad():
            for name, offset in self.offsets.items():
                named[name].add_(offset)

    def after_step(self, model: nn.Module, context: Context) -> None:
        """Take the perturbation back, unchanged."""
        named = dict(model.named_parameters())
        with torch.no_grad():
            for name, offset in self.offsets.items():
                named[name].sub_(offset)


def own_step(optimizer: torch.optim.Optimizer, parameter: Tensor, gradient: Tensor) -> Tensor:
    """The displacement of a parameter by one step of this SGD for a gradient, without making it."""
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    gradient = gradient + group["weight_decay"] * parameter.detach()
    buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
    moving = gradient if buffer is None else group["momentum"] * buffer + gradient
    if group["momentum"] == 0:
        moving = gradient
    way: Tensor = gradient + group["momentum"] * moving if group["nesterov"] else moving
    return -float(group["lr"]) * way
