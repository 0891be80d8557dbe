"""Which cells a comparison asks for: filters that name what they leave out, and the run that would fill a gap."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bench.config import CellSpec, format_value, parse_value, parse_variant
from bench.errors import StoreError, UsageError, did_you_mean
from bench.registry import registry
from bench.store.rows import WORST
from bench.store.where import canonical as canonical
from bench.variants import parse_method


class Specified(Protocol):
    """Anything with the specification of a cell."""

    @property
    def spec(self) -> CellSpec:
        """What the cell is."""


C = TypeVar("C", bound=Specified)


def filtered(cells: Iterable[C], root: Path, dataset: str, ir: str) -> list[C]:
    """The cells of one data set and ratio (empty: any). Raises UsageError that names the filter which leaves none."""
    kept = list(cells)
    if not kept:
        raise StoreError(f"{root} holds no finished evaluation; run `bench run` first or give another folder.")
    for option, wanted, read in (("--dataset", dataset, _dataset), ("--ir", _asked_ratio(ir), _ratio)):
        if wanted:
            known = {read(cell.spec) for cell in kept}
            kept = [cell for cell in kept if read(cell.spec) == wanted]
            if not kept:
                among = f" of {dataset}" if dataset and read is _ratio else ""
                raise UsageError(
                    f"{root} holds no finished cell{among} with {option} {wanted}. {did_you_mean(wanted, known)}"
                )
    return kept


def _dataset(spec: CellSpec) -> str:
    return spec.dataset


def _ratio(spec: CellSpec) -> str:
    return "natural" if spec.ir is None else format_value(spec.ir)


def _asked_ratio(text: str) -> str:
    """A ratio as `_ratio` writes it. Raises UsageError."""
    value = parse_value(text)
    if text in ("", "natural"):
        return text
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 1:
        raise UsageError(f"--ir '{text}' is not a number above 1; write for instance --ir 10 or --ir natural.")
    return format_value(float(value))


def of_method(cells: Iterable[C], text: str, everywhere: Iterable[C]) -> list[C]:
    """The cells of a method with these settings. Raises UsageError when there is none, with where there are some."""
    found = [c for c in cells if called(c.spec, text)]
    if not found:
        places = _each(f"{c.spec.dataset} {_ratio(c.spec)}" for c in everywhere if called(c.spec, text))
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
    return canonical(f"{spec.method}[{spec.variant}]{spec.enhanced}")


def check_attacks(wanted: Iterable[str], evaluated: Collection[str]) -> None:
    """Raises UsageError for an attack that neither was evaluated nor exists."""
    for attack in wanted:
        if attack not in evaluated and parse_variant(attack)[0] not in (*registry("attacks").names(), WORST):
            raise UsageError(f"unknown attack '{attack}'. {did_you_mean(attack, evaluated)}")


def run_command(
    cells: Sequence[Specified], methods: Sequence[str], attacks: Collection[str], splits: Collection[str], root: Path
) -> str:
    """The `bench run` that gives all `methods` what the first of these cells and those like it are."""
    pattern = _alike(cells[0].spec)
    specs = [cell.spec for cell in cells if _alike(cell.spec) == pattern]
    axes = {
        "methods": methods, "datasets": _each(s.dataset for s in specs), "irs": _each(map(_ratio, specs)),
        "models": _each(s.model for s in specs), "seeds": _each(str(s.seed) for s in specs),
        "attacks": sorted(set(attacks) - {WORST}), "test-split": sorted(splits),
    }  # fmt: skip
    words = [word for name, values in axes.items() if values for word in (f"--{name}", ",".join(values))]
    return shlex.join(["bench", "run", *words, *pattern, "--results", str(root)])


def _each(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _alike(spec: CellSpec) -> list[str]:
    """What is no axis of a grid, as options of `bench run`; the usual is left out."""
    plain, recipe = CellSpec("", "", None, "", 0), spec.recipe
    options: list[tuple[str, object, object]] = [
        ("recipe", recipe.name, plain.recipe.name), ("epochs", recipe.epochs, recipe.full_epochs),
        ("limit", spec.limit, plain.limit), ("precision", spec.precision, plain.precision),
        ("selection", spec.selection, plain.selection), ("class-order", spec.class_order, plain.class_order),
    ]  # fmt: skip
    switches = [("--compile", spec.compile), ("--deterministic", spec.deterministic)]
    words = [word for name, value, usual in options if value != usual for word in (f"--{name}", str(value))]
    return [*words, *(name for name, on in switches if on)]
