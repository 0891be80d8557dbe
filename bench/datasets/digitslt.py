"""Handwritten digits, real scans embedded in scikit-learn: 8x8, grey, 10 classes, made long-tailed by the law.

The split is fixed and stated: of each digit, in the order of the file, the last 64 images are the test set and the
first 110 the training set (the rarest digit has 174). Values 0..16 become round(v * 255 / 16). The choice of the radius
is explained in docs/data.md.
"""

from __future__ import annotations

import numpy as np

from bench.api import Arrays, Dataset, DatasetFacts, register

TRAIN, TEST = 110, 64


@register("datasets")
class DigitsLT(Dataset):
    """scikit-learn's digits; nothing to download."""

    name = "digitslt"

    def facts(self) -> DatasetFacts:
        """110 training and 64 test images a class."""
        return DatasetFacts(10, (1, 8, 8), TRAIN, TEST, eps=0.2, default_model="small-cnn", augment="none")

    def load(self) -> Arrays:
        """Both splits, a fixed choice."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        members = [np.flatnonzero(digits.target == c) for c in range(10)]
        train = np.concatenate([m[:TRAIN] for m in members])
        test = np.concatenate([m[-TEST:] for m in members])
        labels = digits.target.astype(np.int64)
        names = tuple(str(c) for c in range(10))
        return Arrays(images[train], labels[train], images[test], labels[test], names, "scikit-learn digits")
