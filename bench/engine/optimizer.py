"""The optimiser that a recipe names: what decays, how fast each part goes, how long a gradient may be."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from bench.api import Context, Method
from bench.config import Recipe
from bench.errors import TrainingError


def make_optimizer(
    network: nn.Module, recipe: Recipe, device: torch.device, method: Method | None = None
) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over all parameters; with `decay=matrices` biases and norms do not decay.

    Every parameter is a group by its name where the method has rates of its own (`Method.rate`).
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    weights = [p for _, p in named]
    groups: list[dict[str, Any]] = [{"params": weights}]
    flat = {"weight_decay": 0.0} if recipe.decay == "matrices" else {}
    if method is not None and type(method).rate is not Method.rate:
        groups = [{"params": [p], "part": name, **(flat if p.ndim < 2 else {})} for name, p in named]
    elif flat:
        groups = [
            {"params": [p for p in weights if p.ndim >= 2]},
            {"params": [p for p in weights if p.ndim < 2]} | flat,
        ]
    fused = device.type == "cuda"
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
            fused=fused,
        )
    kind: type[torch.optim.Adam] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)


def set_factors(optimizer: torch.optim.Optimizer, method: Method, context: Context) -> None:
    """Ask the method for the factors of the epoch in `context`; what has none is frozen. Raises TrainingError."""
    parts = [group for group in optimizer.param_groups if "part" in group]
    for group in parts:
        factor = float(method.rate(group["part"], context))
        if not 0 <= factor < math.inf:
            raise TrainingError(
                f"{method.name} gives {group['part']} the rate factor {factor}; it must be a number >= 0."
            )
        group["factor"] = factor
        group["params"][0].requires_grad_(factor > 0)
    if parts and not any(group["factor"] for group in parts):
        raise TrainingError(f"{method.name} freezes every parameter in epoch {context.epoch}; one must learn.")


def thaw(optimizer: torch.optim.Optimizer) -> None:
    """Undo what `set_factors` froze."""
    for group in optimizer.param_groups:
        if "part" in group:
            group["params"][0].requires_grad_(True)


def set_rate(optimizer: torch.optim.Optimizer, lr: float, momentum: float) -> None:
    """The rate of the next step, and the momentum of an optimiser that has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("factor", 1.0)
        if "momentum" in group:
            group["momentum"] = momentum


def clip(network: nn.Module, largest: float) -> None:
    """Scale the whole gradient down to norm `largest`; 0 leaves it."""
    if largest:
        nn.utils.clip_grad_norm_(network.parameters(), largest)
