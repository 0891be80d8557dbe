"""Plug-ins as objects: a data set or a network from its full name, a method from a cell, and what a method answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bench.api import Context, Dataset, DatasetFacts, Enhancer, Method, Model, Need, Phase
from bench.config import CellSpec, make, one_of
from bench.errors import BenchError, DataError, UsageError, in_words
from bench.registry import registry

T = TypeVar("T")


def make_dataset(name: str, data_root: Path | None) -> Dataset:
    """The data set called `name` or `name:argument`. Raises UsageError when there is none."""
    cls: type[Dataset] = registry("datasets").get(name)
    return cls(_argument("data set", name, cls.argument_name), data_root)


def make_model(name: str) -> Model:
    """The network called `name` or `name:argument`. Raises UsageError when there is none."""
    cls: type[Model] = registry("models").get(name)
    return cls(_argument("model", name, cls.argument_name))


def _argument(kind: str, name: str, wanted: str) -> str:
    """The text after the colon, which is there exactly when the plug-in wants one."""
    base, colon, argument = name.partition(":")
    if wanted and not argument:
        raise UsageError(f"{kind} '{name}' lacks its argument; write {base}:{wanted}.")
    if colon and not wanted:
        raise UsageError(f"{kind} '{base}' takes no argument, and '{name}' gives one; write {base}.")
    return argument


def dataset_facts(name: str, data_root: Path | None) -> DatasetFacts:
    """Facts of a data set by its full name (`archive:PATH`). Raises DataError and UsageError alone."""
    return tried(name, make_dataset(name, data_root).facts)


def tried(name: str, act: Callable[[], T]) -> T:
    """What a data set answers. It is a plug-in, and its file anybody's: whatever they raise is a DataError here."""
    try:
        return act()
    except BenchError:
        raise
    except Exception as error:
        raise DataError(
            f"data set '{name}' cannot be read ({in_words(error).rstrip('.')}); mend its file, or its code."
        ) from error


def make_method(spec: CellSpec) -> Method:
    """The method object of a cell."""
    cls: type[Method] = registry("methods").get(spec.method)
    method: Method = cls(make(cls.Hparams, dict(spec.hparams), spec.method))
    return method


def make_enhancers(spec: CellSpec) -> list[Enhancer]:
    """The enhancers of a cell, by name."""
    made = []
    for name, settings in spec.enhancers:
        cls: type[Enhancer] = registry("enhancers").get(name)
        made.append(cls(make(cls.Hparams, dict(settings), name)))
    return made


def needs(spec: CellSpec) -> frozenset[Need]:
    """What the method and the enhancers of a cell cannot do without."""
    kinds = [("methods", spec.method), *(("enhancers", name) for name, _ in spec.enhancers)]
    known = [registry(kind).get(name).needs for kind, name in kinds if name in registry(kind).names()]
    return frozenset().union(*known)


def passes(spec: CellSpec, method: Method) -> tuple[float, float]:
    """Forward and backward passes of an average step of a cell, with what its enhancers add."""
    forward, backward = method.passes(spec.recipe)
    more = [enhancer.passes(spec.recipe) for enhancer in make_enhancers(spec)]
    return forward + sum(f for f, _ in more), backward + sum(b for _, b in more)


def epoch_images(spec: CellSpec, method: Method, counts: Sequence[int]) -> float:
    """Images of an average epoch of a cell with these training images a class, as its order has them."""
    ordering: list[Method | Enhancer] = [method, *make_enhancers(spec)]
    own = [each.epoch_images(counts, spec.recipe) for each in ordering]
    return next((count for count in own if count != sum(counts)), sum(counts))


def phase_of(method: Method, context: Context) -> Phase:
    """What the method says of the epoch in `context`. Raises UsageError when it is no phase."""
    phase: Phase = one_of(method.phase(context), Phase, f"phase of {method.name}")
    return phase
