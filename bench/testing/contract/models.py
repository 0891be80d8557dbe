"""What every network keeps: shapes, any head, gradients that reach everything. Large ones are built without memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn

from bench.api import Model
from bench.engine.nets.network import assemble, build_network
from bench.plugins import make_model
from bench.seeding import torch_stream
from bench.testing.contract import Target, require
from bench.testing.contract.shared import complaint, describes_itself, keeps_the_rules

IMAGE = (3, 32, 32)
#: parameters up to which a network is really built
SMALL = 2_000_000

BASE = Model


def checks(target: Target) -> Iterator[tuple[str, Callable[[], None]]]:
    """With the class's `small` argument unless the name carries one."""
    yield "describes itself", partial(describes_itself, target)
    yield "keeps the rules of a plug-in", partial(keeps_the_rules, target)
    yield "takes its argument", partial(argument, target)
    yield "has its shapes", partial(shapes, target)
    yield "takes any head", partial(any_head, target)
    yield "normalises every channel", partial(normalisation, target)
    yield "hands gradients to everything", partial(gradients, target)


def full(target: Target) -> str:
    """The name, with an argument where it wants one."""
    cls: type[Model] = target.cls
    wanted = cls.argument_name and ":" not in target.name
    return f"{target.name}:{cls.small or 'none'}" if wanted else target.name


def argument(target: Target) -> None:
    """An argument is wanted or refused."""
    cls: type[Model] = target.cls
    said = complaint(lambda: make_model(cls.name if cls.argument_name else f"{cls.name}:x"))
    expected = "lacks its argument" if cls.argument_name else "takes no argument"
    require(expected in said, f"argument_name={cls.argument_name!r}, yet a wrong name is not refused.")


def shapes(target: Target) -> None:
    """Features N x D and logits N x C of images N x 3 x 32 x 32."""
    with torch.device("meta"):
        net = assemble(full(target), IMAGE, 7, None).eval()
        features = net.features(torch.zeros(2, *IMAGE))
        logits = net.head(features)
    stated = net.head.in_features
    require(features.shape == (2, stated), f"build() states {stated} features and gives {tuple(features.shape)}.")
    require(logits.shape == (2, 7), f"two images of seven classes give {tuple(logits.shape)}.")


def any_head(target: Target) -> None:
    """A head of the method's own stands where the linear layer stood."""
    with torch.device("meta"):
        net = assemble(full(target), IMAGE, 7, lambda d, c: nn.Linear(d, c, bias=False))
    require(net.head.bias is None, "the head that was asked for is not the one in the network.")


def normalisation(target: Target) -> None:
    """`mean` and `std` together, a number a channel."""
    mean, std = target.cls.mean, target.cls.std
    require((mean is None) == (std is None), "one of `mean` and `std` is missing.")
    require(mean is None or len(mean) == len(std) == 3, "`mean` and `std` have not three numbers each.")


def gradients(target: Target) -> None:
    """Of a network small enough to be built here: the image and each parameter that is not frozen get a gradient."""
    with torch.device("meta"):
        size = sum(p.numel() for p in assemble(full(target), IMAGE, 7, None).parameters())
    if size > SMALL:
        return
    net = build_network(full(target), IMAGE, 7, None, 0)
    x = torch.rand(2, *IMAGE, generator=torch_stream(0, "x")).requires_grad_(True)
    net(x).square().sum().backward()
    require(x.grad is not None and float(x.grad.abs().sum()) > 0, "no gradient reaches the image.")
    for name, p in net.named_parameters():
        reached = p.grad is not None and bool(torch.isfinite(p.grad).all())
        require(reached or not p.requires_grad, f"no finite gradient reaches {name}.")
