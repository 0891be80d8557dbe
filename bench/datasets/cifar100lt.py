"""CIFAR-100 (original pixels), made long-tailed by the law: 32x32, 100 classes, 500 + 100 images a class."""

from __future__ import annotations

from bench.api import DatasetFacts, register

from ._cifar import Cifar


@register("datasets")
class Cifar100LT(Cifar):
    """Krizhevsky 2009, through torchvision."""

    name = "cifar100lt"
    published = "CIFAR100"
    source = "cifar100"

    def facts(self) -> DatasetFacts:
        """Known without the files."""
        return DatasetFacts(100, (3, 32, 32), 500, 100)
