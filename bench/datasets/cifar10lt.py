"""CIFAR-10 (original pixels), made long-tailed by the law: 32x32, 10 classes, 5000 + 1000 images a class."""

from __future__ import annotations

from bench.api import DatasetFacts, register

from ._cifar import Cifar


@register("datasets")
class Cifar10LT(Cifar):
    """Krizhevsky 2009, through torchvision."""

    name = "cifar10lt"
    published = "CIFAR10"
    source = "cifar10"

    def facts(self) -> DatasetFacts:
        """Known without the files."""
        return DatasetFacts(10, (3, 32, 32), 5000, 1000)
