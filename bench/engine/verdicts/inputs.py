"""What is given to the attack suite, checked before anything is attacked: one sentence for whatever is wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.engine.nets.modes import evaluating
from bench.errors import DataError, ModelError, in_words


def working_dtype(network: nn.Module) -> torch.dtype:
    """What images, noise and projection are computed in: double for a network in double, else single precision.

    A narrower network (half, bfloat16) is only asked in its own type: a radius of 8/255 cannot be kept in it.
    """
    return torch.promote_types(_dtypes(network)[0], torch.float32)


def _dtypes(network: nn.Module) -> list[torch.dtype]:
    """Floating types of the network's weights, each once; single precision where it has none."""
    found = dict.fromkeys(p.dtype for p in network.parameters() if p.is_floating_point())
    return [*found] or [torch.float32]


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
def check_network(network: nn.Module, x: Tensor) -> torch.dtype:
    """The type of images that the network takes: that of x, else one of its weights'.

    Raises ModelError when it cannot take these images at all.
    """
    last: BaseException | None = None
    for dtype in dict.fromkeys((x.dtype, *_dtypes(network))):
        try:
            with evaluating(network):
                network(x.to(dtype, copy=True))
        except (Exception, SystemExit) as error:  # code of the user: anything
            last = error  # the last one tried is of its own type, so what it says is to the point
        else:
            return dtype
    shape = " x ".join(map(str, x.shape[1:]))
    said = in_words(last or RuntimeError("nothing was tried"), RuntimeError, ValueError, AssertionError)
    raise ModelError(
        f"the network cannot take images of {shape} (channels x height x width): {said.rstrip('.')}; give one that "
        "takes them as they are, resizing inside where it needs another size."
    ) from last


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
