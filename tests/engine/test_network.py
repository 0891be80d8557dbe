"""The classifier: initialisation from its stream, explicit resizing and normalisation."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.engine.nets.network import Network, build_network
from bench.errors import ModelError, UsageError


def test_initialisation_is_the_streams_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    a, b = build_network("small-cnn", (1, 8, 8), 10, None, 3), build_network("small-cnn", (1, 8, 8), 10, None, 3)
    torch.rand(1)
    after = build_network("small-cnn", (1, 8, 8), 10, None, 3)
    for other in (b, after):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), other.parameters(), strict=True))
    torch.set_rng_state(before[0])
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_backbone_does_not_depend_on_the_head():
    plain = build_network("small-cnn", (1, 8, 8), 10, None, 0)
    own = build_network("small-cnn", (1, 8, 8), 10, lambda d, c: nn.Linear(d, c, bias=False), 0)
    assert own.head.bias is None
    assert all(torch.equal(p, q) for p, q in zip(plain.backbone.parameters(), own.backbone.parameters(), strict=True))


def test_enlarging_and_normalising_happen_inside():
    seen = []
    backbone = nn.Module()
    backbone.forward = lambda x: (seen.append(x), x.mean((2, 3)))[1]
    net = Network(backbone, nn.Identity(), size=(4, 4), mean=(0.5, 0.25), std=(0.5, 2.0))
    x = torch.rand(1, 2, 2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    net(x).sum().backward()
    scale = torch.tensor([0.5, 2.0]).view(1, 2, 1, 1)
    expected = (F.interpolate(x, (4, 4), mode="bilinear") - torch.tensor([0.5, 0.25]).view(1, 2, 1, 1)) / scale
    assert torch.allclose(seen[0], expected)
    assert x.grad.shape == x.shape
    assert set(net.state_dict()) == set()


def test_bad_requests_are_one_sentence():
    with pytest.raises(UsageError, match=r"unknown model 'resnet81'.*Did you mean 'resnet18'"):
        build_network("resnet81", (3, 32, 32), 10, None, 0)
    with pytest.raises(ModelError, match="at least 8x8"):
        build_network("small-cnn", (1, 4, 4), 10, None, 0)
    with pytest.raises(ModelError, match=r"logits of shape \(1, 3\)"):
        build_network("small-cnn", (1, 8, 8), 10, lambda d, c: nn.Linear(d, 3), 0)
    with pytest.raises(ModelError, match="4x4 patches"):
        build_network("vit-small", (3, 30, 30), 10, None, 0)
