"""torchvision's vision transformer for any square image."""

from __future__ import annotations

from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from bench.api import ModelError


def vision_transformer(
    image: tuple[int, int, int], *, patch: int, layers: int, heads: int, width: int
) -> tuple[nn.Module, int]:
    """(backbone, feature length): the class token after the last norm. Raises ModelError unless patches fit."""
    channels, height, side = image
    if height != side or side % patch:
        raise ModelError(f"a vision transformer of {patch}x{patch} patches cannot be laid over {height}x{side} pixels.")
    net = VisionTransformer(side, patch, layers, heads, width, mlp_dim=4 * width)
    if channels != 3:
        net.conv_proj = nn.Conv2d(channels, width, patch, stride=patch)
    net.heads = nn.Identity()
    return net, width
