"""Handwritten digits, real scans embedded in scikit-learn: 8x8, grey, 10 classes, made long-tailed by the law.

The split is fixed and stated: of each digit, in the order of the file, the last 64 images are the test set and the
first 110 the training set (the rarest digit has 174). Values 0..16 become round(v * 255 / 16). The choice of the radius
is explained in docs/data.md.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.api import Arrays, DataError, Dataset, DatasetFacts, register

TRAIN, TEST = 110, 64


@register("datasets")
class DigitsLT(Dataset):
    """scikit-learn's digits; nothing to download."""

    name = "digitslt"

    def facts(self) -> DatasetFacts:
        """110 training and 64 test images a class."""
        return DatasetFacts(10, (1, 8, 8), TRAIN, TEST, eps=0.2, default_model="small-cnn", augment="none")

    def files(self) -> tuple[Path, ...]:
        """scikit-learn's file."""
        return (self.fetch(),)

    def load(self) -> Arrays:
        """Both splits, a fixed choice. The file is read without importing scikit-learn, which takes seconds."""
        table = np.loadtxt(self.fetch(), delimiter=",", dtype=np.int64)
        images = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
        labels = table[:, -1]
        members = [np.flatnonzero(labels == c) for c in range(10)]
        train = np.concatenate([m[:TRAIN] for m in members])
        test = np.concatenate([m[-TEST:] for m in members])
        names = tuple(str(c) for c in range(10))
        return Arrays(images[train], labels[train], images[test], labels[test], names, "scikit-learn digits")

    def fetch(self, progress: Callable[[int, int], None] | None = None) -> Path:
        """Nothing to do: the file came with scikit-learn."""
        package = importlib.util.find_spec("sklearn")
        if package is None or package.origin is None:
            raise DataError("the package scikit-learn, which holds the digits, is not installed; install it.")
        path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if not path.is_file():
            raise DataError(
                f"{path}, the digits that come with scikit-learn, does not exist; install scikit-learn again."
            )
        return path
