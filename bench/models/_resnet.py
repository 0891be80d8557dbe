"""torchvision's residual networks with the stem of 32x32 images, at any width."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


def cifar_stem(
    block: type[BasicBlock | Bottleneck], layers: list[int], channels: int, width: int = 64, stride: int = 1
) -> tuple[nn.Module, int]:
    """(backbone, feature length) with a 3x3 first convolution (of stride 1, or 2 for speed) and no max-pool.

    The stem has `width` channels, the stages width, 2 width, 4 width and 8 width.
    """

    class Net(ResNet):  # type: ignore[misc]
        """torchvision's stages, which are written for 64 channels, at another width."""

        def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
            if planes == 64:  # the first stage is fed by the stem
                self.inplanes = width
            stage: nn.Sequential = super()._make_layer(block, planes * width // 64, *args, **kwargs)
            return stage

    net = Net(block, layers)
    net.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.bn1 = nn.BatchNorm2d(width)
    net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    return net, net.inplanes


def imagenet_stem(make: Any, channels: int) -> tuple[nn.Module, int]:
    """(backbone, feature length) of torchvision's network as it is: 7x7 stride-2 first convolution and max-pool."""
    net: ResNet = make(weights=None)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.fc = nn.Identity()
    return net, net.inplanes
