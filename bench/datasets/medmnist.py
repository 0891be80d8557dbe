"""Any 2D single-label set of MedMNIST by its name: `medmnist:bloodmnist`, larger images as `medmnist:bloodmnist_64`.

Made long-tailed by the law when an imbalance ratio is given, else used with its own counts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.api import Arrays, Dataset, DatasetFacts, register

from ._medmnist import Published


@register("datasets")
class MedMNIST(Dataset):
    """Yang et al. 2023, MedMNIST v2; the file is fetched from its own server."""

    name = "medmnist"
    argument_name = "NAME"
    small = "bloodmnist"

    @property
    def published(self) -> Published:
        """The set that the argument names."""
        return Published(self.argument, self.root)

    def facts(self) -> DatasetFacts:
        """From the package's table, and from the labels where the file is there."""
        return self.published.facts()

    def files(self) -> tuple[Path, ...]:
        """MedMNIST's file."""
        return (self.published.path,)

    def load(self) -> Arrays:
        """Training and test split of the file."""
        return self.published.load(f"medmnist:{self.argument}")

    def fetch(self, progress: Callable[[int, int], None] | None = None) -> Path:
        """Download and verify."""
        return self.published.fetch(progress)
