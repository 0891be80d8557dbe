"""Stored images as networks are given them."""

from __future__ import annotations

import torch
from torch import Tensor


def planes(images: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 images, N x H x W x C, as N x C x H x W in [0,1] of a type, row by row."""
    return by_rows(images.permute(0, 3, 1, 2).to(dtype) / 255)


def by_rows(x: Tensor) -> Tensor:
    """A copy whose images lie row by row, channel by channel.

    Not `contiguous()`: with one channel a permuted tensor counts as contiguous and as channels last alike, convolutions
    answer channels last, and a network that takes a `view` of their answer fails.
    """
    return x.clone(memory_format=torch.contiguous_format)
