"""torchvision's residual networks with the stem of 32x32 images."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


def cifar_stem(block: type[BasicBlock | Bottleneck], layers: list[int], channels: int) -> tuple[nn.Module, int]:
    """(backbone, feature length): a 3x3 stride-1 first convolution and no max-pool; otherwise torchvision's network."""
    net = ResNet(block, layers)
    net.conv1 = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.maxpool = nn.Identity()
    return headless(net)


def imagenet_stem(make: functools.partial[ResNet] | Any, channels: int) -> tuple[nn.Module, int]:
    """(backbone, feature length) of torchvision's network as it is: 7x7 stride-2 first convolution and max-pool."""
    net = make(weights=None)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    return headless(net)


def headless(net: ResNet) -> tuple[nn.Module, int]:
    """The network up to its pooled features."""
    features = net.fc.in_features
    net.fc = nn.Identity()
    return net, features
