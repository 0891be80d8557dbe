"""What every registered model must do, found through the registry. Large ones are built without memory (`meta`)."""

import pytest
import torch
from torch import nn

from bench.engine.nets.facts import read_facts
from bench.engine.nets.network import assemble, build_network
from bench.registry import registry

NAMES = registry("models").names()
ARGUMENTS = {"timm": "timm:test_vit@32"}
IMAGE = (3, 32, 32)
SMALL = 2_000_000  # parameters up to which a network is really built


def full(name):
    if name == "timm":
        pytest.importorskip("timm")
    return ARGUMENTS.get(name, name)


@pytest.mark.parametrize("name", NAMES)
def test_described_in_one_line(name):
    assert len(registry("models").origin(name).describe()) > 20


@pytest.mark.parametrize("name", NAMES)
def test_features_and_logits_have_their_shapes(name):
    with torch.device("meta"):
        net = assemble(full(name), IMAGE, 7, None).eval()
        features = net.features(torch.zeros(2, *IMAGE))
    assert features.shape == (2, net.head.in_features)
    assert net.head(features).shape == (2, 7)


@pytest.mark.parametrize("name", NAMES)
def test_any_head_fits(name):
    with torch.device("meta"):
        net = assemble(full(name), IMAGE, 7, lambda d, c: nn.Linear(d, c, bias=False))
    assert net.head.bias is None


@pytest.mark.parametrize("name", NAMES)
def test_normalisation_constants_match_the_channels(name):
    model = registry("models").get(name)
    assert (model.mean is None) == (model.std is None)
    assert model.mean is None or len(model.mean) == len(model.std) == 3


@pytest.mark.parametrize("name", [n for n in NAMES if n == "timm" or read_facts()[n]["parameters"] < SMALL])
def test_gradients_reach_every_parameter_and_the_image(name):
    net = build_network(full(name), IMAGE, 7, None, 0)
    x = torch.rand(2, *IMAGE, generator=torch.Generator().manual_seed(0), requires_grad=True)
    net(x).square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
