"""Which cells are a pair: everything but the method and its settings is equal; else what keeps them apart, by value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.config import CellSpec
from bench.errors import StoreError
from bench.judge.pairs.cells import Cell
from bench.store.where import PAIRED

#: What two cells must share to be compared, by name as it is printed
SHARED = PAIRED
#: the same, said as the options that make it, in the order in which a reader asks
TOLD: dict[str, Callable[[CellSpec], Any]] = {name: read for name, read in SHARED.items() if name != "reduced"} | {
    "epochs": lambda s: s.recipe.epochs,
    "limit": lambda s: s.limit,
    "seed": lambda s: s.seed,
}


def shared(spec: CellSpec) -> tuple[Any, ...]:
    """What a rival's cell must share."""
    return tuple(read(spec) for read in SHARED.values())


def full(spec: CellSpec) -> tuple[Any, ...]:
    """What the same cell of another store shares."""
    return (spec.method, spec.enhancers, spec.hparams, spec.recipe, spec.seed, *shared(spec))


def rivals(first: Sequence[Cell], second: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Pairs of cells that differ in their methods alone."""
    partner = {(shared(c.spec), c.spec.seed): c for c in second}
    return [(c, partner[key]) for c in first if (key := (shared(c.spec), c.spec.seed)) in partner]


def apart(first: Iterable[Cell], second: Iterable[Cell], names: tuple[str, str], besides: str = "") -> str:
    """What keeps the two nearest cells apart (`besides` one coordinate), empty where nothing does.

    As in `epochs is 100 in taet, 20 in at-bsl`.
    """
    others = list(second)
    found = [
        {name: both for name, both in differing(a.spec, b.spec).items() if name != besides}
        for a in first
        for b in others
    ]
    nearest = min(found, key=len, default={})
    return "; ".join(f"{n} is {said(a)} in {names[0]}, {said(b)} in {names[1]}" for n, (a, b) in nearest.items())


def differing(a: CellSpec, b: CellSpec) -> dict[str, tuple[Any, Any]]:
    """Coordinates in which two cells differ, with both values."""
    return {name: (read(a), read(b)) for name, read in TOLD.items() if read(a) != read(b)}


def said(value: Any) -> str:
    """A coordinate's value as it is printed."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def same_source(a: Cell, b: Cell) -> None:
    """Raises StoreError unless both cells saw the same images."""
    for name in ("source", "data_hash"):
        mine, other = getattr(a.record.seen, name), getattr(b.record.seen, name)
        if mine != other:
            raise StoreError(f"{a.spec.id} and {b.spec.id} are not comparable: {name} differs ({mine}, {other}).")
    if a.record.benchmark != b.record.benchmark:
        raise StoreError(
            f"{a.spec.id} and {b.spec.id} are not comparable: the benchmark version differs "
            f"({a.record.benchmark}, {b.record.benchmark})."
        )
