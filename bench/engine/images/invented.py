"""Images that nobody took, as a cell's data: for what times or tries a step and asks nothing of what they show."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.engine.images.subset import CellData


def invented(images: Tensor, classes: int, extra: bool = False) -> CellData:
    """A set of `images` (uint8, N x H x W x C), labelled 0, 1, ... in turn, that is tested on what it is trained on.

    `extra`: they are its extra images too.
    """
    labels, index = torch.arange(len(images)) % classes, torch.arange(len(images))
    counts = tuple(int(c) for c in labels.bincount(minlength=classes))
    return CellData(
        train_images=images,
        train_labels=labels,
        train_index=index,
        test_images=images,
        test_labels=labels,
        splits={"long-tailed": index},
        class_names=tuple(map(str, range(classes))),
        native_labels=tuple(range(classes)),
        train_counts=counts,
        test_counts={"long-tailed": counts},
        source="noise",
        data_hash="",
        subset_hash="",
        extra_images=images if extra else None,
        extra_labels=labels if extra else None,
    )
