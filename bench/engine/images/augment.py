"""Training images from resident uint8 batches: crop and flip in one gather, RandAugment, AutoAugment.

Every image has its own draws. They come from a NumPy generator on the host (the stream `augment` of an epoch), so CPU
and GPU make the same images and no kernel is waited for. Images go in as uint8 N x H x W x channels and come out as
floats N x channels x H x W in [0,1].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.engine.images.distort import OPERATIONS, SPACE, distort
from bench.errors import UsageError, did_you_mean


def padding(height: int, width: int) -> int:
    """Zero pixels a side before the crop: 4 from 28x28 on, as published for CIFAR; an eighth of the side below."""
    return min(4, round(min(height, width) / 8))


def to_float(images: Tensor, *, resize: int | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 N x H x W x channels -> floats N x channels x H x W in [0,1], enlarged to `resize` if asked for."""
    planes = images.permute(0, 3, 1, 2)
    if resize is not None and tuple(planes.shape[-2:]) != (resize, resize):
        planes = enlarge(planes, resize)
    return planes.to(dtype, memory_format=torch.contiguous_format).div_(255)


def enlarge(planes: Tensor, side: int) -> Tensor:
    """uint8 N x channels x H x W, bilinear to side x side and rounded to uint8, as the official notebooks' resize."""
    from torchvision.transforms.v2.functional import resize_image

    out: Tensor = resize_image(planes, [side, side], antialias=True)
    return out


def crop_flip(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Random crop of the zero-padded image, then a flip with probability 1/2; uint8 N x H x W x channels.

    A crop is H runs of W * channels bytes in the padded batch, so one gather of runs makes all of them.
    """
    n, height, width, channels = images.shape
    pad = padding(height, width)
    tall, wide = height + 2 * pad, width + 2 * pad
    top, left = rng.integers(0, 2 * pad + 1, size=(2, n))
    flip = rng.random(n) < 0.5
    first = ((np.arange(n) * tall + top) * wide + left)[:, None] + np.arange(height) * wide
    padded = F.pad(images, (0, 0, pad, pad, pad, pad)).contiguous()
    runs = padded.as_strided((n * tall * wide - width + 1, width * channels), (channels, 1))
    cropped = runs.index_select(0, _send(first.reshape(-1), images)).view(n, height, width, channels)
    mirrored = cropped.index_select(0, _send(np.flatnonzero(flip), images))
    # seen as channels-last planes, the flip of the last axis is one vectorised pass
    mirrored = mirrored.permute(0, 3, 1, 2).flip(3).permute(0, 2, 3, 1)
    place = np.where(flip, n - 1 + np.cumsum(flip), np.arange(n))
    return torch.cat([cropped, mirrored]).index_select(0, _send(place, images))


def _send(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device, non_blocking=True)


def rand_augment(images: Tensor, rng: np.random.Generator, count: int = 2, level: int = 8) -> Tensor:
    """RandAugment(2, 8) as AT-BSL's variant: `count` operations an image at level 8 of 31 bins; then crop and flip."""
    n, height, width, _ = images.shape
    planes = images.permute(0, 3, 1, 2)
    allowed = [i for i, name in enumerate(OPERATIONS) if name != "Invert"]
    strengths = np.array([SPACE[name].strength(level, 31, (height, width)) for name in OPERATIONS])
    for _ in range(count):
        operation = rng.choice(allowed, size=n)
        planes = distort(planes, operation, _signed(strengths[operation], operation, rng))
    return crop_flip(planes.permute(0, 2, 3, 1), rng)


def auto_augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The CIFAR-10 policy of AutoAugment (25 pairs of operations, 10 bins), as AT-BSL's default; then crop and flip."""
    n, height, width, _ = images.shape
    planes = images.permute(0, 3, 1, 2)
    policy = _cifar10_policy()
    pair = rng.integers(len(policy), size=n)
    for position in range(2):
        steps = [pairs[position] for pairs in policy]
        names, chances = [name for name, _, _ in steps], np.array([chance for _, chance, _ in steps])
        kinds = np.array([OPERATIONS.index(name) for name in names])
        strengths = np.array([SPACE[name].strength(level or 0, 10, (height, width)) for name, _, level in steps])
        operation = np.where(rng.random(n) < chances[pair], kinds[pair], OPERATIONS.index("Identity"))
        planes = distort(planes, operation, _signed(strengths[pair], operation, rng))
    return crop_flip(planes.permute(0, 2, 3, 1), rng)


@cache
def _cifar10_policy() -> list[tuple[tuple[str, float, int | None], tuple[str, float, int | None]]]:
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    return list(AutoAugment(AutoAugmentPolicy.CIFAR10).policies)


def _signed(strength: np.ndarray, operation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the strengths of operations that have two directions, negated."""
    two_sided = np.array([SPACE[name].signed for name in OPERATIONS])[operation]
    signs: np.ndarray = np.where(two_sided & (rng.random(len(strength)) < 0.5), -strength, strength)
    return signs


def _none(images: Tensor, _rng: np.random.Generator) -> Tensor:
    return images


#: name in a recipe -> uint8 batch and generator to uint8 batch, both N x H x W x channels
AUGMENTATIONS: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "none": _none,
    "crop-flip": crop_flip,
    "randaugment": rand_augment,
    "autoaugment": auto_augment,
}


def augment(
    images: Tensor,
    kind: str,
    rng: np.random.Generator,
    *,
    resize: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """An augmented training batch in [0,1], N x channels x H x W, from uint8 N x H x W x channels.

    `kind`: a name of AUGMENTATIONS. `resize`: side to which images are enlarged before. Raises UsageError.
    """
    if kind not in AUGMENTATIONS:
        raise UsageError(f"augmentation '{kind}' is not known. {did_you_mean(kind, AUGMENTATIONS)}")
    if resize is not None and tuple(images.shape[1:3]) != (resize, resize):
        images = enlarge(images.permute(0, 3, 1, 2), resize).permute(0, 2, 3, 1)
    return to_float(AUGMENTATIONS[kind](images, rng), dtype=dtype)
