"""Problems whose exact robust accuracy has a closed form, to check the whole chain on any machine."""

from __future__ import annotations

import torch
from torch import nn

from bench.config import AttackSpec, ThreatModel
from bench.engine.suite import evaluate
from bench.seeding import isolated, torch_stream


def linear_answer(images: int = 64, eps: float = 0.05) -> tuple[int, int]:
    """(images exactly robust, images left by PGD-20) of a linear two-class network on random grey images.

    An image with margin m = (w_y - w_k) x + b_y - b_k is robust in the l_inf ball if and only if
    m > eps * |w_y - w_k|_1; pixels keep clear of 0 and 1, so the box does not bind. PGD-20 with steps of eps/8 reaches
    every corner of the ball.
    """
    stream = torch_stream(0, "known")
    x = 0.1 + 0.8 * torch.rand(images, 1, 6, 6, generator=stream)
    with isolated(0, "known"):
        linear = nn.Linear(36, 2)
    network = nn.Sequential(nn.Flatten(), linear)
    weight, bias = torch.randn(2, 36, generator=stream), torch.zeros(2)
    with torch.no_grad():
        linear.weight.copy_(weight)
        middle = (x.flatten(1) @ (weight[0] - weight[1])).median()
        bias[0] = -middle
        linear.bias.copy_(bias)
    labels = network(x).argmax(1)
    margin = (x.flatten(1) @ (weight[0] - weight[1]) + bias[0] - bias[1]) * (1 - 2 * labels)
    exact = int((margin > eps * (weight[0] - weight[1]).abs().sum()).sum())
    result = evaluate(
        network,
        x,
        labels,
        torch.arange(images),
        [AttackSpec("pgd-20")],
        threat=ThreatModel(eps),
        num_classes=2,
        root_seed=0,
    )
    return exact, int(result.attacks["pgd-20"].correct.sum())
