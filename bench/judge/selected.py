"""Which cells a comparison asks for: filters that name what they leave out, and the run that would fill a gap."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bench.config import CellSpec, parse_variant
from bench.errors import StoreError, UsageError, did_you_mean
from bench.registry import registry
from bench.store.asked import command, crossed, read, said
from bench.store.rows import WORST
from bench.store.where import Where, canonical
from bench.variants import parse_method


class Specified(Protocol):
    """Anything with the specification of a cell."""

    @property
    def spec(self) -> CellSpec:
        """What the cell is."""


C = TypeVar("C", bound=Specified)


def filtered(cells: Iterable[C], root: Path, **wanted: str) -> list[C]:
    """The cells that have these coordinates (empty: any). Raises UsageError that names the one which leaves none."""
    kept = list(cells)
    if not kept:
        raise StoreError(f"{root} holds no finished evaluation; run `bench run` first or give another folder.")
    before: list[str] = []
    for name, text in wanted.items():
        if not text:
            continue
        word = read(name, text)
        known = {said(name, Where.of(cell.spec)) for cell in kept}
        kept = [cell for cell in kept if said(name, Where.of(cell.spec)) == word]
        if not kept:
            among = f" of {', '.join(before)}" if before else ""
            raise UsageError(f"{root} holds no finished cell{among} with --{name} {word}. {did_you_mean(word, known)}")
        before.append(word)
    return kept


def of_method(cells: Iterable[C], text: str, everywhere: Iterable[C]) -> list[C]:
    """The cells of a method with these settings. Raises UsageError when there is none, with where there are some."""
    found = [c for c in cells if called(c.spec, text)]
    if not found:
        places = dict.fromkeys(f"{c.spec.dataset} {Where.of(c.spec).ratio}" for c in everywhere if called(c.spec, text))
        if places:
            raise UsageError(
                f"--dataset and --ir leave no finished cell of method '{text}'; it has some of {', '.join(places)}."
            )
        known = {label(c.spec) for c in everywhere}
        raise UsageError(f"no finished cell of method '{text}'. {did_you_mean(text, known)}")
    return found


def called(spec: CellSpec, text: str) -> bool:
    """Whether a text names this cell's method: its settings that are not the usual ones stand in it, and others, which
    may stand in it too, have the cell's values. Raises UsageError for what cannot be read.
    """
    method, *enhancers = parse_method(canonical(text))
    if label(spec) == canonical(text):
        return True
    own, *tricks = parse_method(label(spec))
    if [own[0], *(name for name, _ in tricks)] != [method[0], *(name for name, _ in enhancers)]:
        return False
    recipe = {f.name: getattr(spec.recipe, f.name) for f in dataclasses.fields(spec.recipe)}
    known = [recipe | dict(spec.hparams), *(dict(dict(spec.enhancers).get(name, ())) for name, _ in tricks)]
    parts = zip((method, *enhancers), (own, *tricks), known, strict=True)
    return all(_fits(asked, mine, mine | values) for (_, asked), (_, mine), values in parts)


def _fits(asked: Mapping[str, Any], mine: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether all settings that are not usual are asked for, and all that are asked for have these values."""
    return mine.keys() <= asked.keys() and all(k in values and _same(values[k], v) for k, v in asked.items())


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
        return bool(a == b or a == (b,))  # a list of one is typed as its entry
    return math.isclose(a, b, rel_tol=1e-9)


def label(spec: CellSpec) -> str:
    """The method of a cell with its settings, as the command line takes it."""
    return Where.of(spec).label


def check_attacks(wanted: Iterable[str], evaluated: Collection[str]) -> None:
    """Raises UsageError for an attack that neither was evaluated nor exists."""
    for attack in wanted:
        if attack not in evaluated and parse_variant(attack)[0] not in (*registry("attacks").names(), WORST):
            raise UsageError(f"unknown attack '{attack}'. {did_you_mean(attack, evaluated)}")


def run_command(
    cells: Sequence[Specified], methods: Sequence[str], attacks: Collection[str], splits: Collection[str], root: Path
) -> str:
    """The `bench run` that gives all `methods` what the first of these cells and those like it are."""
    places = [Where.of(cell.spec) for cell in cells]
    wanted = sorted(set(attacks) - {WORST})
    return command(crossed(places, methods, wanted, sorted(splits)), "--results", str(root))
