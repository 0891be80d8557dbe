"""DermaMNIST with its own imbalance: 28x28, 7 classes, 4693 to 80 training images a class (ratio 58.66)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.api import Arrays, DataError, Dataset, DatasetFacts, register

from ._medmnist import Published

#: training images of classes 0 to 6 as published, and test images, which only estimates read
COUNTS = (228, 359, 769, 80, 779, 4693, 99)
TEST_COUNTS = (66, 103, 220, 23, 223, 1341, 29)


@register("datasets")
class DermaMNIST(Dataset):
    """Yang et al. 2023, made from HAM10000 (Tschandl et al. 2018); the class counts are verified on load."""

    name = "dermamnist"

    @property
    def published(self) -> Published:
        """MedMNIST's file."""
        return Published("dermamnist", self.root)

    def facts(self) -> DatasetFacts:
        """Known without the file."""
        ratio = max(COUNTS) / min(COUNTS)
        return DatasetFacts(
            7, (3, 28, 28), max(COUNTS), max(TEST_COUNTS), native_ir=ratio, own_train=COUNTS, own_test=TEST_COUNTS
        )

    def files(self) -> tuple[Path, ...]:
        """MedMNIST's file."""
        return (self.published.path,)

    def load(self) -> Arrays:
        """Training and test split; DataError when the counts are not DermaMNIST's."""
        arrays = self.published.load(self.name)
        found = tuple(int(n) for n in np.bincount(arrays.train_labels, minlength=len(COUNTS)))
        if found != COUNTS:
            raise DataError(
                f"{self.published.path} has {found} training images a class, DermaMNIST has {COUNTS} (ratio "
                f"{max(COUNTS) / min(COUNTS):.2f}); use it as archive:PATH, or fetch dermamnist again."
            )
        return arrays

    def fetch(self, progress: Callable[[int, int], None] | None = None) -> Path:
        """Download and verify."""
        return self.published.fetch(progress)
