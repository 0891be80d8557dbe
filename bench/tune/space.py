"""The search space of a method: one `Dimension` a setting, declared, derived from its default, or given.

A setting made with `setting(..., search=...)` declares its room; for what comes with bench `spaces.toml` does. For any
other the room follows from its type: a number above 0 is looked for within a factor of `FACTOR` around its default, as
far as its range allows, on a logarithmic scale; a closed set is tried as a whole. Switches, texts, lists and numbers
that are 0 or absent are only searched where that is declared or asked for. A method without any such setting of its own
is tuned in the recipe's declared ones.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from bench.config import Recipe, format_value, split_list
from bench.errors import UsageError, did_you_mean
from bench.fields import Kind, check_setting, kinds
from bench.variants import parse_value

#: how far from its default a number is looked for
FACTOR = 4.0
#: fields of the recipe that the tuning itself decides
OURS = ("name", "epochs", "full_epochs", "validation", "select")
LOG = "log"


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched: a number from `low` to `high` (`log`: by ratio, `whole`: integers), or `choices`.

    `name`: `beta`, or `ema.tau` of an enhancer. `default`: its value before the tuning.
    """

    name: str
    default: Any
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def text(self) -> str:
        """As `--over` reads it: `beta=1.5:24:log`, `func=tanh|sigmoid`."""
        if self.choices:
            return f"{self.name}={'|'.join(map(format_value, self.choices))}"
        ends = [format_value(end) for end in (self.low, self.high)]
        return f"{self.name}={':'.join([*ends, *([LOG] if self.log else [])])}"

    def rounded(self, value: Any) -> Any:
        """A suggestion as it is written: three digits of a number, inside the room."""
        if self.choices or self.whole:
            return value
        return min(max(float(f"{value:.3g}"), self.low), self.high)


@dataclass(frozen=True)
class Field:
    """A setting that exists: the dataclass it belongs to, and its default as the trial would have it."""

    name: str
    cls: Any
    default: Any
    fixed: bool = False
    #: its room in `spaces.toml`, as `--over` reads it; empty: none; None: its owner is not in that file
    declared: str | None = None

    @property
    def spec(self) -> dataclasses.Field[Any]:
        """The dataclass field."""
        found: dataclasses.Field[Any] = self.cls.__dataclass_fields__[self.name.rpartition(".")[2]]
        return found

    @property
    def kind(self) -> Kind | None:
        """What its type allows."""
        return kinds(self.cls)[self.spec.name]

    def checked(self, value: Any, what: str) -> Any:
        """A value in the field's type. Raises UsageError."""
        return check_setting(self.cls, self.spec.name, value, what)


@cache
def declared(kind: str, name: str) -> dict[str, str] | None:
    """Setting -> its room for a method or enhancer that comes with bench; None where `spaces.toml` does not name it."""
    table = tomllib.loads(files("bench.tune").joinpath("spaces.toml").read_text(encoding="utf-8"))
    rooms = table[kind].get(name)
    return None if rooms is None else {text.partition("=")[0]: text.partition("=")[2] for text in rooms}


def fields_of(
    cls: Any, values: Mapping[str, Any], fixed: Iterable[str], prefix: str = "", rooms: Mapping[str, str] | None = None
) -> list[Field]:
    """The fields of a dataclass of settings with their `values`; those in `fixed` were given by the user.

    `rooms`: what `declared` says of their owner.
    """
    return [
        Field(
            prefix + f.name,
            cls,
            values.get(f.name, f.default),
            f.name in fixed,
            None if rooms is None else rooms.get(f.name, ""),
        )
        for f in dataclasses.fields(cls)
        if cls is not Recipe or f.name not in OURS
    ]


def space(own: Sequence[Field], recipe: Sequence[Field], over: str | None, what: str) -> tuple[Dimension, ...]:
    """The dimensions of a tuning. `own`: settings of the method and its enhancers; `over`: names or rooms to search.

    Raises UsageError for what does not exist, is fixed, has no room, or where nothing is left to search.
    """
    known = {field.name: field for field in (*recipe, *own)}
    if over is None:
        made = _rooms(own) or _rooms(field for field in recipe if field.spec.metadata.get("search"))
    else:
        made = [_asked(text, known, what) for text in split_list(over)]
    if not made:
        raise UsageError(f"{what} has no setting left to search; name some, for instance --over lr=0.01:0.3:log.")
    twice = [d.name for i, d in enumerate(made) if d.name in {e.name for e in made[:i]}]
    if twice:
        raise UsageError(f"--over names '{twice[0]}' twice; give it once.")
    return tuple(made)


def _rooms(fields: Iterable[Field]) -> list[Dimension]:
    """The rooms of those that are free and have one."""
    found = (room(field) for field in fields if not field.fixed and field.declared != "")
    return [dimension for dimension in found if dimension is not None]


def room(field: Field) -> Dimension | None:
    """Where a setting is looked for: as declared, or around its default; None where that says nothing."""
    kind, default, limits = field.kind, field.default, field.spec.metadata
    if kind is None or kind.listed:
        return None
    if field.declared:
        return _given(field, field.declared)
    if limits.get("search"):
        return _declared(field, limits["search"])
    choices = kind.choices or limits.get("choices")
    if choices:
        return Dimension(field.name, default, choices=tuple(choices)) if len(choices) > 1 else None
    if kind.base not in (int, float) or default is None or isinstance(default, bool) or default <= 0:
        return None
    low, high = default / FACTOR, default * FACTOR
    low = max(low, limits["low"]) if limits.get("low") is not None else low
    high = min(high, limits["high"]) if limits.get("high") is not None else high
    if kind.base is int:
        low, high = max(1, round(low)), round(high)
    made = Dimension(field.name, default, low, high, True, kind.base is int)
    return made if low < high else None


def _declared(field: Field, words: tuple[Any, ...]) -> Dimension:
    """A dimension from the words of a declaration: two ends and perhaps `log`, or members of a closed set."""
    return _range(field, words) if _has_ends(field) else Dimension(field.name, field.default, choices=words)


def _has_ends(field: Field) -> bool:
    """Whether a setting is a number that may lie anywhere in a range."""
    kind = field.kind
    return kind is not None and kind.base in (int, float) and not (kind.choices or field.spec.metadata.get("choices"))


def _range(field: Field, words: tuple[Any, ...]) -> Dimension:
    """The numbers between two ends. Raises UsageError."""
    log = words[-1] == LOG
    ends = words[:-1] if log else words
    sound = len(ends) == 2 and all(isinstance(end, int | float) for end in ends)
    if not sound or not ends[0] < ends[1] or (log and ends[0] <= 0):
        raise UsageError(
            f"the room of '{field.name}' cannot be read; write LOW:HIGH or LOW:HIGH:log with LOW below HIGH, for "
            "log above 0, or single values as A|B|C."
        )
    return Dimension(
        field.name, field.default, ends[0], ends[1], log, field.kind is not None and field.kind.base is int
    )


def _asked(text: str, known: Mapping[str, Field], what: str) -> Dimension:
    """`beta`, `beta=1:10`, `beta=1:10:log`, `beta=1|3|6` or `func=tanh|sigmoid`."""
    name, sign, written = (part.strip() for part in text.partition("="))
    if name not in known:
        raise UsageError(f"{what} has no setting '{name}' to search. {did_you_mean(name, known)}")
    field = known[name]
    if field.fixed:
        raise UsageError(f"'{name}' is fixed in {what} and searched by --over; leave one of them out.")
    if field.kind is None or field.kind.listed:
        raise UsageError(f"'{name}' is a list, and only single values are searched; fix it in brackets behind {what}.")
    if not sign:
        made = room(field)
        if made is None:
            raise UsageError(f"'{name}' has no room of its own; say where, for instance --over {name}=LOW:HIGH.")
        return made
    return _given(field, written)


def _given(field: Field, written: str) -> Dimension:
    """A dimension from a room as it is written: `LOW:HIGH`, `LOW:HIGH:log` or, by `|`, values. Raises UsageError."""

    def value(word: str) -> Any:
        return field.checked(parse_value(word), f"--over {field.name}")

    ranged = _has_ends(field) and "|" not in written
    words = [word.strip() for word in written.split(":" if ranged else "|")]
    if ranged:
        return _range(field, tuple(word if word == LOG else value(word) for word in words))
    return Dimension(field.name, field.default, choices=tuple(dict.fromkeys(map(value, words))))
