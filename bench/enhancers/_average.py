"""Averages of a network's parameters, and batch-norm statistics for them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters by name."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@torch.no_grad()
def move(average: Mapping[str, Tensor], model: nn.Module, keep: float) -> None:
    """Average <- keep average + (1 - keep) w, in place."""
    names = [name for name, _ in model.named_parameters()]
    mine, live = [average[name] for name in names], [p.detach() for _, p in model.named_parameters()]
    torch._foreach_lerp_(mine, live, 1 - keep)


def with_parameters(model: nn.Module, parameters: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the network with other parameters; its statistics are the network's."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name, p in other.named_parameters():
            p.copy_(parameters[name])
    return other


@torch.no_grad()
def reestimate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Running statistics of all batch norms anew: the means over the batches' statistics, weighted by their sizes.

    The statistics are reset, then each batch is forwarded in train mode with momentum b / (n + b), where n images came
    before its b. Momentum and modes are as before afterwards.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    momenta, training = [norm.momentum for norm in norms], model.training
    for norm in norms:
        norm.reset_running_stats()
    model.train()
    seen = 0
    for batch in batches:
        for norm in norms:
            norm.momentum = len(batch) / (seen + len(batch))
        model(batch)
        seen += len(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(training)
