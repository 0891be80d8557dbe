"""What is given to the attack suite, checked before anything is attacked: one sentence for whatever is wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.engine.nets.modes import evaluating
from bench.errors import DataError, ModelError


def dtype_of(network: nn.Module) -> torch.dtype:
    """Floating type of the network's weights."""
    return next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)


def check_set(images: Tensor, labels: Tensor, indices: Tensor, num_classes: int) -> None:
    """Raise DataError unless images, labels and indices are a test set of this many classes."""
    if images.ndim != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise DataError(
            f"images of shape {tuple(images.shape)} and type {images.dtype} cannot be attacked; give uint8 "
            "N x H x W x channels or floats N x channels x H x W in [0,1]."
        )
    if not len(images) == len(labels) == len(indices) or labels.ndim != 1 or len(labels) == 0:
        raise DataError(
            f"{len(images)} images, {len(labels)} labels and {len(indices)} indices do not fit; "
            "give one label and one index an image, and at least one image."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise DataError(f"label {wrong} is out of range; labels must be 0 to {num_classes - 1}.")


@torch.no_grad()
def check_network(network: nn.Module, x: Tensor) -> None:
    """Raise ModelError when the network cannot take these images at all."""
    try:
        with evaluating(network):
            network(x)
    except (RuntimeError, ValueError, IndexError) as error:
        shape = " x ".join(map(str, x.shape[1:]))
        raise ModelError(
            f"the network cannot take images of {shape} (channels x height x width): {str(error).splitlines()[0]}"
        ) from error


def facts_of_set(images: Tensor, labels: Tensor, num_classes: int) -> dict[str, float]:
    """Facts about the set for the validity flags: range of the pixels on [0,1], and sizes of its classes."""
    counts = labels.bincount(minlength=num_classes)
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    return {
        "pixel_min": float(images.min()) / scale,
        "pixel_max": float(images.max()) / scale,
        "label_top_share": float(counts.max() / len(labels)),
        "smallest_class": float(counts[counts > 0].min()),
        "images": float(len(labels)),
    }
