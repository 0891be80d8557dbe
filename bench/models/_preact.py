"""Residual networks whose blocks start with batch norm and ReLU: PreActResNet-18 and WideResNets for 32x32 images."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F


class PreActBlock(nn.Module):
    """x -> shortcut(a) + conv2(relu(bn2(conv1(a)))), a = relu(bn1(x)); the shortcut is x itself where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """N x inputs x H x W -> N x outputs x H/stride x W/stride."""
        active = F.relu(self.bn1(x))
        beside = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = beside + self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = PreActBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(PreActBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


class PreActNet(nn.Module):
    """3x3 convolution, stages of pre-activation blocks, batch norm, ReLU, global average."""

    def __init__(self, stem: int, widths: list[int], blocks: list[int], channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, stem, 3, 1, 1, bias=False)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        inputs = stem
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stages[f"layer{i + 1}"] = _stage(inputs, width, count, stride=1 if i == 0 else 2)
            inputs = width
        self.stages = nn.Sequential(stages)
        self.bn = nn.BatchNorm2d(inputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Features N x widths[-1] of images N x channels x H x W."""
        x = F.relu(self.bn(self.stages(self.conv1(x))))
        return x.mean((2, 3))


class PreActResNet(PreActNet):
    """Widths 64 to 512; `blocks` of each stage."""

    def __init__(self, blocks: list[int], channels: int) -> None:
        super().__init__(64, [64, 128, 256, 512], blocks, channels)


class WideResNet(PreActNet):
    """Depth 6k + 4, widths 16, 32, 64 times `widen`; no dropout."""

    def __init__(self, depth: int, widen: int, channels: int) -> None:
        super().__init__(16, [16 * widen, 32 * widen, 64 * widen], [(depth - 4) // 6] * 3, channels)
