"""Gratings: gratings in noise, drawn here (say here what yours is; `bench ls` prints it).

Class c of four is a grating at the angle 45 c degrees. Replace `_draw` by the reading of your files, and name them in
`files`, so that a change of them is noticed; a data set that has to be downloaded does so in `fetch`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.api import Arrays, DataError, Dataset, DatasetFacts, register

CLASSES, SIDE, TRAIN, TEST = 4, 8, 60, 20


@register("datasets")
class Gratings(Dataset):
    """8 x 8 grey images of four classes; made long-tailed by the law, as every data set with equal classes is."""

    name = "gratings"

    def facts(self) -> DatasetFacts:
        """What is known without reading anything: classes, shape, largest class, radius, usual network."""
        image = (1, SIDE, SIDE)
        return DatasetFacts(CLASSES, image, TRAIN, TEST, eps=0.1, default_model="small-cnn", augment="none")

    def load(self) -> Arrays:
        """Both splits: images uint8 N x H x W x channels, labels int64 N."""
        train, test = _draw(0, TRAIN), _draw(1, TEST)
        return Arrays(*train, *test, tuple(f"{45 * c} degrees" for c in range(CLASSES)), "drawn by gratings")

    def fetch(self, progress: Callable[[int, int], None] | None = None) -> Path:
        """Nothing is downloaded."""
        raise DataError("the images of gratings are drawn, so there is nothing to download.")


def _draw(seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """`number` images a class and their labels, always the same: the generator is private."""
    generator = np.random.Generator(np.random.PCG64(seed))
    labels = np.repeat(np.arange(CLASSES), number)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    angles = np.pi * labels[:, None, None] / CLASSES
    along = rows * np.sin(angles) + columns * np.cos(angles)
    waves = np.sin(1.6 * along + generator.uniform(0, 2 * np.pi, (len(labels), 1, 1)))
    images = 128 + 70 * waves + generator.normal(0, 20, waves.shape)
    return np.clip(images, 0, 255).astype(np.uint8)[..., None], labels.astype(np.int64)
