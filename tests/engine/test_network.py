"""The classifier: initialisation from its stream, explicit resizing and normalisation, strict loading."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.engine.network import Network, build_network, load_weights
from bench.errors import ModelError, UsageError


class PublishedBlock(nn.Module):
    """The basic block as CIFAR repositories write it: `shortcut.0`, `shortcut.1`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class PublishedResNet18(nn.Module):
    """CIFAR ResNet-18 with the key layout of published checkpoints: conv1, bn1, layer1..4, linear."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for i, width in enumerate((64, 128, 256, 512), start=1):
            first = PublishedBlock(inputs, width, 1 if i == 1 else 2)
            setattr(self, f"layer{i}", nn.Sequential(first, PublishedBlock(width, width, 1)))
            inputs = width
        self.linear = nn.Linear(512, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        return self.linear(F.avg_pool2d(x, 4).flatten(1))


@pytest.fixture(scope="module")
def published():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = PublishedResNet18()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):  # so that running statistics matter
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_resnet18_checkpoint_gives_equal_outputs(published, prefix):
    net = build_network("resnet18", (3, 32, 32), 10, None, 1).eval()
    load_weights(net, {prefix + k: v for k, v in published.state_dict().items()}, "checkpoint.pt")
    x = torch.linspace(0, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net(x), published(x), rtol=1e-5, atol=1e-5)


def test_own_state_dict_round_trip():
    net, other = (build_network("small-cnn", (1, 8, 8), 10, None, seed) for seed in (0, 1))
    assert not torch.equal(net.head.weight, other.head.weight)
    load_weights(other, net.state_dict(), "ours")
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "conv1.weight"}, r"1 keys missing \(first: backbone.conv1"),
        (lambda s: s | {"extra.weight": torch.zeros(1)}, r"1 unknown keys \(first: backbone.extra"),
        (lambda s: s | {"linear.weight": torch.zeros(7, 512)}, r"head.weight has shape \(7, 512\), \(10, 512\)"),
    ],
)
def test_wrong_checkpoints_are_named(published, change, says):
    net = build_network("resnet18", (3, 32, 32), 10, None, 0)
    with pytest.raises(ModelError, match=says):
        load_weights(net, change(published.state_dict()), "x.pt")


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
