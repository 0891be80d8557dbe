"""Dataclass fields with a type and a range, and values checked against them: one clear sentence for what does not fit.

A field's type is read from the annotation itself, written as text or not: `float`, `int`, `bool`, `str`, a closed set
`Literal["a", "b"]`, a list `tuple[int, ...]`, each with `| None` where it may be absent. The settings of a plug-in are
looked at when its class is made (`check_fields`), so another type, or a default out of its range, stops there.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bench.errors import UsageError, did_you_mean
from bench.variants import format_value

T = TypeVar("T")

#: the classes of single values
SCALARS: tuple[type, ...] = (float, int, bool, str)
ALLOWED = "float, int, bool, str, Literal, tuple[int, ...] or tuple[float, ...], with '| None' where it may be absent"
#: how a list of numbers is written (see `bench.variants`)
LISTS = "; write a list with colons, such as 50:75"
#: ends of a range by their names in `setting`: what lies outside, and what must be
BOUNDS = (("low", operator.lt, ">="), ("high", operator.gt, "<="), ("above", operator.le, ">"))


@dataclass(frozen=True)
class Kind:
    """What a type allows: values of class `base`, those of `choices` where there are any; several; or None."""

    base: type
    choices: tuple[Any, ...] = ()
    listed: bool = False
    optional: bool = False


def kind_of(annotation: Any) -> Kind | None:
    """The kind of a resolved annotation, or None for a type that no setting has."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in SCALARS:
        return Kind(annotation)
    if origin is Literal and len({type(member) for member in args}) == 1 and type(args[0]) in SCALARS:
        return Kind(type(args[0]), args)
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        inner = kind_of(args[args[0] is type(None)])
        return inner and dataclasses.replace(inner, optional=True)
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis and args[0] in SCALARS:
        return Kind(args[0], listed=True)
    return None


@cache
def kinds(cls: Any) -> dict[str, Kind | None]:
    """Field name -> kind of dataclass `cls`. Raises UsageError when an annotation cannot be read."""
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise UsageError(f"the types of {cls.__qualname__} cannot be read: {error}; write {ALLOWED}.") from error
    return {f.name: kind_of(hints[f.name]) for f in dataclasses.fields(cls)}


def setting(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[Any, ...] | None = None,
    help: str = "",
    later: bool = False,
    search: tuple[Any, ...] = (),
) -> Any:
    """A dataclass field with a range: `low` <= value <= `high`, value > `above`, or one of `choices`.

    In a field of type `tuple[int, ...]` or `tuple[float, ...]` the range is that of every member. `later`: added after
    cells were stored; where it holds its default it is written nowhere, so their ids and files stay as they are.
    `search`: where a tuning looks for a number, (low, high) or (low, high, "log"), or the members of a closed set that
    it tries; without it the room follows from the default (see `bench.tune.space`).
    """
    meta = {
        "low": low,
        "high": high,
        "above": above,
        "choices": choices,
        "help": help,
        "later": later,
        "search": search,
    }
    return field(default=default, metadata=meta)


@cache
def written(cls: Any) -> tuple[tuple[str, dataclasses.Field[Any] | None], ...]:
    """Names of a dataclass's fields, each with the field where `is_silent` must be asked before it is written."""
    return tuple((f.name, f if f.metadata.get("later") else None) for f in dataclasses.fields(cls))


def is_silent(spec: dataclasses.Field[Any], value: Any) -> bool:
    """Whether a field is left out of what is written: added later, and at its default."""
    return bool(spec.metadata.get("later")) and value == spec.default


def check_fields(cls: Any, what: str) -> None:
    """Refuse a class of settings that is no frozen dataclass or has a field without a known type or a fitting default.

    Raises UsageError that names the field, for whoever writes the class.
    """
    if "__dataclass_fields__" not in getattr(cls, "__dict__", ()) or not cls.__dataclass_params__.frozen:
        raise UsageError(f"{what} is no frozen dataclass; write @dataclass(frozen=True) above it.")
    for spec in dataclasses.fields(cls):
        if kinds(cls)[spec.name] is None:
            written = spec.type if isinstance(spec.type, str) else getattr(spec.type, "__name__", str(spec.type))
            raise UsageError(f"{what}: '{spec.name}' has the type {written}, which no setting has; write {ALLOWED}.")
        if spec.default is dataclasses.MISSING:
            raise UsageError(f"{what}: '{spec.name}' has no default; give it one that works.")
        check_setting(cls, spec.name, spec.default, what)
        for value in spec.metadata.get("search", ()):
            if value != "log":
                check_setting(cls, spec.name, value, f"{what}, search")


def make(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """An instance of dataclass `cls`, each value checked against its field's type and range.

    Raises UsageError that names the value, what was expected and the names that exist.
    """
    known = kinds(cls)  # type: ignore[arg-type]
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{what} has no setting '{name}'. {did_you_mean(name, list(known))}")
        checked[name] = check_setting(cls, name, value, what)
    try:
        return cls(**checked)
    except UsageError as error:  # values that do not fit each other
        raise UsageError(f"{what}: {error}") from error


def one_of(value: Any, closed: Any, what: str) -> Any:
    """`value` when it is a member of the Literal type `closed`, else a UsageError with its members."""
    members = get_args(closed)
    if isinstance(value, str) and value in members:
        return value
    raise UsageError(f"unknown {what} '{value}'. {did_you_mean(str(value), members)}")


def check_closed(made: Any) -> None:
    """Refuse a dataclass instance one of whose closed sets holds something else. For `__post_init__`."""
    cls: Any = type(made)
    for name, kind in kinds(cls).items():
        value = getattr(made, name)
        if kind and kind.choices and value not in kind.choices and not (value is None and kind.optional):
            choices = [str(choice) for choice in kind.choices]
            raise UsageError(f"unknown {name.replace('_', ' ')} '{value}'. {did_you_mean(str(value), choices)}")


def check_setting(cls: Any, name: str, value: Any, what: str) -> Any:
    """`value` in the type of the field `name` of `cls`, or a UsageError with the allowed type, range or choices.

    What is written decides nothing that the field's type decides better: in a field of texts made with `setting`,
    `none`, `true` and `3` are the texts (see `bench.variants.parse_value`).
    """
    kind, spec = kinds(cls)[name], cls.__dataclass_fields__[name]
    if kind is None or (value is None and kind.optional):
        return value
    if kind.base is str and spec.metadata and not isinstance(value, str):
        value = format_value(value)
    if not kind.listed:
        return _check(spec, kind, value, what)
    members = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(_check(spec, kind, one, what, LISTS) for one in members)


def _check(spec: dataclasses.Field[Any], kind: Kind, value: Any, what: str, mend: str = "") -> Any:
    """One value, or one member of a list, in the type `kind.base`."""
    base, given = kind.base, value
    if base is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        value = float(value)
    if base is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{what}: {spec.name}={given!r} is not a finite number.")
    if not isinstance(value, base) or (base is int and isinstance(value, bool)):
        wanted = "a number" if base is float else f"of type {base.__name__}"
        raise UsageError(f"{what}: {spec.name}={given!r} is not {wanted}{mend}.")
    limits = spec.metadata
    choices = kind.choices or limits.get("choices")
    if choices and value not in choices:
        raise UsageError(f"{what}: {spec.name}={given!r} is not one of {', '.join(map(str, choices))}.")
    for bound, outside, sign in BOUNDS if limits else ():
        limit = limits.get(bound)
        if limit is not None and isinstance(value, (int, float)) and outside(value, limit):
            raise UsageError(f"{what}: {spec.name}={given!r} is out of range; it must be {sign} {limit:g}.")
    return value
