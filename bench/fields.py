"""Dataclass fields with a range, and values checked against them: one clear sentence for what does not fit."""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeVar

from bench.errors import UsageError, did_you_mean

T = TypeVar("T")

#: type of a field -> the class of its values
TYPES: dict[str, type] = {"float": float, "int": int, "bool": bool, "str": str}
#: how a list of numbers is written (see `bench.variants`)
LISTS = "; write a list with colons, such as 50:75"


def setting(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[Any, ...] | None = None,
    help: str = "",
) -> Any:
    """A dataclass field with a range: `low` <= value <= `high`, value > `above`, or one of `choices`.

    In a field of type `tuple[int, ...]` or `tuple[float, ...]` the range is that of every member.
    """
    meta = {"low": low, "high": high, "above": above, "choices": choices, "help": help}
    return field(default=default, metadata=meta)


def make(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """An instance of dataclass `cls`, each value checked against its field's type and range.

    Raises UsageError that names the value, what was expected and the names that exist.
    """
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{what} has no setting '{name}'. {did_you_mean(name, known)}")
        checked[name] = check_setting(known[name], value, what)
    try:
        return cls(**checked)
    except UsageError as error:  # values that do not fit each other
        raise UsageError(f"{what}: {error}") from error


def check_setting(spec: dataclasses.Field[Any], value: Any, what: str) -> Any:
    """`value` in the type of its field, or a UsageError with the allowed type, range or choices."""
    kind = str(spec.type)
    if value is None and kind.endswith("| None"):
        return None
    base = kind.removesuffix("| None").strip()
    listed = re.fullmatch(r"tuple\[(\w+), \.\.\.\]", base)
    if not listed:
        return _check(spec, base, value, what)
    members = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(_check(spec, listed[1], one, what, LISTS) for one in members)


def _check(spec: dataclasses.Field[Any], base: str, value: Any, what: str, mend: str = "") -> Any:
    """One value, or one member of a list, in the type `base`."""
    where = f"{what}: {spec.name}={value!r}"
    if base == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = float(value)
    if base == "int" and isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where} is not a finite number.")
    if not isinstance(value, TYPES.get(base, object)) or (base == "int" and isinstance(value, bool)):
        raise UsageError(f"{where} is not {'a number' if base == 'float' else 'of type ' + base}{mend}.")
    limits = spec.metadata
    if limits.get("choices") and value not in limits["choices"]:
        raise UsageError(f"{where} is not one of {', '.join(map(str, limits['choices']))}.")
    for bound, outside, sign in (("low", operator.lt, ">="), ("high", operator.gt, "<="), ("above", operator.le, ">")):
        limit = limits.get(bound)
        if limit is not None and isinstance(value, (int, float)) and outside(value, limit):
            raise UsageError(f"{where} is out of range; it must be {sign} {limit:g}.")
    return value
