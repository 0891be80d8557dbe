"""Small networks trained on the 8x8 digits within a second, once a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.seeding import isolated, torch_stream

EPS = 0.15


def conv(classes: int) -> nn.Module:
    """Two convolutions with batch norm."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1, stride=2, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, classes),
    )


def dense(classes: int) -> nn.Module:
    """One smooth hidden layer, no batch norm."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.Softplus(), nn.Linear(48, classes))


@cache
def digits(classes: int) -> tuple[Tensor, Tensor]:
    """Images float32 N x 1 x 8 x 8 in [0,1] and labels of the first classes."""
    flat, labels = load_digits(return_X_y=True)
    keep = labels < classes
    return torch.tensor(flat[keep] / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(labels[keep]).long()


@cache
def _trained(kind: Callable[[int], nn.Module], classes: int, robust: bool) -> tuple[nn.Module, Tensor, Tensor]:
    x, y = digits(classes)
    train = len(x) * 4 // 5
    with isolated(3, "net"):
        net = kind(classes)
    order = torch_stream(3, "order")
    adam = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(4):
        for batch in torch.randperm(train, generator=order).split(64):
            image = x[batch]
            for _ in range(3 if robust else 0):
                image = image.detach().requires_grad_(True)
                (slope,) = torch.autograd.grad(cross_entropy(net(image), y[batch]), [image])
                image = (x[batch] + (image + 0.07 * slope.sign() - x[batch]).clamp(-EPS, EPS)).clamp(0, 1).detach()
            adam.zero_grad()
            cross_entropy(net(image), y[batch]).backward()
            adam.step()
    return net.eval(), x[train:], y[train:]


@pytest.fixture
def trained() -> Callable[..., tuple[nn.Module, Tensor, Tensor]]:
    """`trained(kind, classes, robust)` -> (network, held-out images, labels); kind: `conv` or `dense`."""

    def give(kind: str = "conv", classes: int = 10, robust: bool = True) -> tuple[nn.Module, Tensor, Tensor]:
        return _trained({"conv": conv, "dense": dense}[kind], classes, robust)

    return give
