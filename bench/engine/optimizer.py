"""The optimiser that a recipe names: what decays, how fast it goes, how long a gradient may be."""

from __future__ import annotations

import torch
from torch import nn

from bench.config import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over all parameters; with `decay=matrices` biases and norms do not decay."""
    weights = [p for p in network.parameters() if p.requires_grad]
    groups = [{"params": weights}]
    if recipe.decay == "matrices":
        flat = [p for p in weights if p.ndim < 2]
        groups = [{"params": [p for p in weights if p.ndim >= 2]}, {"params": flat, "weight_decay": 0.0}]  # type: ignore[dict-item]
    fused = device.type == "cuda"
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=recipe.nesterov,
            fused=fused,
        )  # fmt: skip
    kind: type[torch.optim.Adam] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)


def set_rate(optimizer: torch.optim.Optimizer, lr: float, momentum: float) -> None:
    """The rate of the next step, and the momentum of an optimiser that has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr
        if "momentum" in group:
            group["momentum"] = momentum


def clip(network: nn.Module, largest: float) -> None:
    """Scale the whole gradient down to norm `largest`; 0 leaves it."""
    if largest:
        nn.utils.clip_grad_norm_(network.parameters(), largest)
