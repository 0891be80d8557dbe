"""What a data set hands over: what is known of it before it is read, and its images and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class DatasetFacts:
    """What is known of a data set before it is read, for listings, estimates and the choice of a model.

    `train_max`, `test_max`: images of the largest class that the long-tail law starts from (0: unknown).
    `image`: (channels, height, width). `eps`: radius of its threat model. `native_ir`: its own imbalance ratio when
    it is used as it is (None: made long-tailed by the law). `own_train`, `own_test`: its images a class then, where
    known. `extra`: how many images there are beside the training set. `augment`: the augmentation that keeps labels
    true (a mirrored digit is another digit), unless one is named.
    """

    classes: int
    image: tuple[int, int, int]
    train_max: int
    test_max: int
    eps: float = 8 / 255
    native_ir: float | None = None
    own_train: tuple[int, ...] = ()
    own_test: tuple[int, ...] = ()
    extra: int = 0
    default_model: str = "resnet18"
    augment: str = "crop-flip"


@dataclass(frozen=True)
class Arrays:
    """A data set in memory: images uint8 N x H x W x channels, labels int64 N, both splits as published.

    `source`: where the pixels come from, a short statement stored with every row (`cifar10` for the original).
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Extra:
    """Images beside the training set, unlabelled or generated: uint8 N x H x W x channels, int64 N (-1: unknown)."""

    images: np.ndarray
    labels: np.ndarray
