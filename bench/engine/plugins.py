"""Plug-ins as objects: a data set from its full name, a method from a cell."""

from __future__ import annotations

from pathlib import Path

from bench.api import Dataset, DatasetFacts, Method
from bench.config import CellSpec, make
from bench.registry import registry


def make_dataset(name: str, data_root: Path | None) -> Dataset:
    """The data set called `name` or `name:argument`. Raises UsageError when it is unknown."""
    dataset: Dataset = registry("datasets").get(name)(name.partition(":")[2], data_root)
    return dataset


def dataset_facts(name: str, data_root: Path | None) -> DatasetFacts:
    """Facts of a data set by its full name (`archive:PATH`)."""
    return make_dataset(name, data_root).facts()


def make_method(spec: CellSpec) -> Method:
    """The method object of a cell."""
    cls: type[Method] = registry("methods").get(spec.method)
    method: Method = cls(make(cls.Hparams, dict(spec.hparams), spec.method))
    return method
