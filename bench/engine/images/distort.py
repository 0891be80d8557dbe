"""The image operations of RandAugment and AutoAugment on a batch, each image with its own operation and strength.

Equal pixel for pixel to torchvision's functional operations on uint8 tensors (nearest neighbour, black outside), which
treat one strength a call; here the images of a batch are grouped by operation. Which image gets what is known on the
host, so nothing waits for the device. Images are uint8 N x channels x H x W.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class Space(NamedTuple):
    """Strengths of one operation: `range(level, bins, (height, width))` and whether a sign is drawn."""

    strength: Callable[[int, int, tuple[int, int]], float]
    signed: bool = True


def _up_to(largest: float) -> Callable[[int, int, tuple[int, int]], float]:
    return lambda level, bins, _size: largest * level / (bins - 1)


def _shift(axis: int) -> Callable[[int, int, tuple[int, int]], float]:
    return lambda level, bins, size: 150 / 331 * size[axis] * level / (bins - 1)


#: strength of every operation at `level` of `bins` (Cubuk et al., in torchvision's numbers), by torchvision's names
SPACE: dict[str, Space] = {
    "Identity": Space(_up_to(0), False),
    "ShearX": Space(_up_to(0.3)),
    "ShearY": Space(_up_to(0.3)),
    "TranslateX": Space(_shift(1)),
    "TranslateY": Space(_shift(0)),
    "Rotate": Space(_up_to(30)),
    "Brightness": Space(_up_to(0.9)),
    "Color": Space(_up_to(0.9)),
    "Contrast": Space(_up_to(0.9)),
    "Sharpness": Space(_up_to(0.9)),
    "Posterize": Space(lambda level, bins, _size: 8 - round(level / ((bins - 1) / 4)), False),
    "Solarize": Space(lambda level, bins, _size: 255 - 255 * level / (bins - 1), False),
    "AutoContrast": Space(_up_to(0), False),
    "Equalize": Space(_up_to(0), False),
    "Invert": Space(_up_to(0), False),
}
OPERATIONS = tuple(SPACE)


def distort(images: Tensor, operation: np.ndarray, strength: np.ndarray) -> Tensor:
    """Apply to image i the operation OPERATIONS[operation[i]] at strength[i]; both arrays have length N."""
    kind = _KIND[operation]
    order = np.argsort(kind, kind="stable")
    sent = torch.from_numpy(np.stack([order, np.argsort(order)])).to(images.device, non_blocking=True)
    grouped = images.index_select(0, sent[0])
    bounds = np.searchsorted(kind[order], np.arange(len(_GROUPS) + 2))
    parts = [grouped[: bounds[1]]]
    for apply, first, last in zip(_GROUPS.values(), bounds[1:-1], bounds[2:], strict=True):
        if first < last:
            chosen = order[first:last]
            parts.append(apply(grouped[first:last], operation[chosen], strength[chosen]))
    return torch.cat(parts).index_select(0, sent[1])


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    """A value an image, float32 N x 1 x 1 x 1 on the images' device."""
    return torch.from_numpy(values.astype(np.float32)).to(like.device, non_blocking=True).view(-1, 1, 1, 1)


# ------------------------------------------------------------------------------------------------ geometry


def _geometry(images: Tensor, operation: np.ndarray, strength: np.ndarray) -> Tensor:
    """Shear about the top left corner, whole-pixel shifts and rotation about the centre, as one inverse affine map."""
    n, _, height, width = images.shape
    theta = np.zeros((n, 2, 3))
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    for name, fill in _MAPS.items():
        rows = np.flatnonzero(operation == OPERATIONS.index(name))
        fill(theta, rows, strength[rows], height, width)
    scale = np.array([[[0.5 * width], [0.5 * height]]])
    matrix = torch.from_numpy((theta / scale).astype(np.float32)).to(images.device, non_blocking=True)
    # positions of the output's pixel centres from the image's centre
    x = torch.arange(width, device=images.device, dtype=torch.float32) - (width - 1) / 2
    y = torch.arange(height, device=images.device, dtype=torch.float32) - (height - 1) / 2
    base = torch.ones(height, width, 3, device=images.device)
    base[..., 0], base[..., 1] = x, y[:, None]
    grid = (base.view(-1, 3) @ matrix.view(-1, 3).T).view(height, width, n, 2).permute(2, 0, 1, 3)
    moved = F.grid_sample(images.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved.round().to(torch.uint8)


def _shear_x(theta: np.ndarray, rows: np.ndarray, s: np.ndarray, height: int, _width: int) -> None:
    theta[rows, 0, 1], theta[rows, 0, 2] = s, s * height / 2


def _shear_y(theta: np.ndarray, rows: np.ndarray, s: np.ndarray, _height: int, width: int) -> None:
    theta[rows, 1, 0], theta[rows, 1, 2] = s, s * width / 2


def _translate_x(theta: np.ndarray, rows: np.ndarray, s: np.ndarray, _height: int, _width: int) -> None:
    theta[rows, 0, 2] = -np.trunc(s)


def _translate_y(theta: np.ndarray, rows: np.ndarray, s: np.ndarray, _height: int, _width: int) -> None:
    theta[rows, 1, 2] = -np.trunc(s)


def _rotate(theta: np.ndarray, rows: np.ndarray, s: np.ndarray, _height: int, _width: int) -> None:
    angle = np.deg2rad(-s)
    theta[rows, 0, 0] = theta[rows, 1, 1] = np.cos(angle)
    theta[rows, 0, 1], theta[rows, 1, 0] = np.sin(angle), -np.sin(angle)


_MAPS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, int, int], None]] = {
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "Rotate": _rotate,
}


# ------------------------------------------------------------------------------------------------ colour


def _blend(images: Tensor, other: Tensor, strength: np.ndarray) -> Tensor:
    """(1 + strength) image - strength other, clamped and truncated."""
    factor = 1.0 + strength
    mixed = _column(factor, images) * images + _column(1.0 - factor, images) * other
    return mixed.clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """Luma, truncated to uint8; N x 1 x H x W."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).to(torch.uint8).unsqueeze(1)


def _brightness(images: Tensor, _operation: np.ndarray, strength: np.ndarray) -> Tensor:
    return _blend(images, torch.zeros_like(images), strength)


def _color(images: Tensor, _operation: np.ndarray, strength: np.ndarray) -> Tensor:
    return images if images.shape[1] == 1 else _blend(images, _grey(images), strength)


def _contrast(images: Tensor, _operation: np.ndarray, strength: np.ndarray) -> Tensor:
    return _blend(images, _grey(images).float().mean((1, 2, 3), keepdim=True), strength)


def _sharpness(images: Tensor, _operation: np.ndarray, strength: np.ndarray) -> Tensor:
    # the mean of the nine pixels with five times the middle one, rounded; a sum of bytes over 13 is never a half
    wide = images.to(torch.int16)
    across = wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]
    total = across[..., :-2, :] + across[..., 1:-1, :] + across[..., 2:, :] + 4 * wide[..., 1:-1, 1:-1]
    blurred = images.clone()
    blurred[..., 1:-1, 1:-1] = ((2 * total + 13) // 26).to(torch.uint8)
    return _blend(images, blurred, strength)


def _posterize(images: Tensor, _operation: np.ndarray, strength: np.ndarray) -> Tensor:
    mask = (256 - 2 ** (8 - strength.astype(np.int64))).astype(np.uint8)
    return images & torch.from_numpy(mask).to(images.device, non_blocking=True).view(-1, 1, 1, 1)


def _solarize(images: Tensor, _operation: np.ndarray, strength: np.ndarray) -> Tensor:
    return torch.where(images >= _column(strength, images), 255 - images, images)


def _invert(images: Tensor, _operation: np.ndarray, _strength: np.ndarray) -> Tensor:
    return 255 - images


def _auto_contrast(images: Tensor, _operation: np.ndarray, _strength: np.ndarray) -> Tensor:
    low, high = (f(images, dim=(2, 3), keepdim=True).float() for f in (torch.amin, torch.amax))
    flat = low == high
    scale = torch.where(flat, 1.0, 255.0 / (high - low))
    return ((images - torch.where(flat, 0.0, low)) * scale).clamp(0, 255).to(torch.uint8)


def _equalize(images: Tensor, _operation: np.ndarray, _strength: np.ndarray) -> Tensor:
    planes = images.flatten(0, 1).flatten(1).long()  # (N * channels) x (H * W)
    histogram = torch.zeros(len(planes), 256, dtype=torch.int64, device=images.device)
    histogram.scatter_add_(1, planes, torch.ones_like(planes))
    of_brightest = histogram.gather(1, planes.amax(1, keepdim=True))
    step = (planes.shape[1] - of_brightest) // 255
    below = F.pad(histogram.cumsum(1), (1, 0))[:, :-1]  # pixels darker than each value
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table[:, 0] = 0
    even = torch.where(step == 0, planes, table.gather(1, planes))
    return even.to(torch.uint8).view_as(images)


#: what is computed in one call: names of operations -> function; an operation of no group changes nothing
_GROUPS: dict[tuple[str, ...], Callable[[Tensor, np.ndarray, np.ndarray], Tensor]] = {
    tuple(_MAPS): _geometry,
    ("Brightness",): _brightness,
    ("Color",): _color,
    ("Contrast",): _contrast,
    ("Sharpness",): _sharpness,
    ("Posterize",): _posterize,
    ("Solarize",): _solarize,
    ("AutoContrast",): _auto_contrast,
    ("Equalize",): _equalize,
    ("Invert",): _invert,
}
#: the group of every operation, from 1; 0 for those that change nothing
_KIND = np.array([sum(at for at, names in enumerate(_GROUPS, 1) if name in names) for name in OPERATIONS])
