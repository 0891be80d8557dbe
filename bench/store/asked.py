"""Coordinates as the command line says them: the one writer of `bench run`, and how cells are chosen by what they are.

Both are derived from the fields of `Where`: a coordinate with an option can be asked for, and is written with it.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Collection, Iterable, Sequence

from bench.errors import UsageError
from bench.store.where import CONDITION, FIELDS, PROTOCOL, USUAL, Where, canonical
from bench.variants import format_number, parse_method, parse_value, variant_label

#: coordinates that `bench run` has an option for, and `bench ls cells` one of the same name
ASKED = tuple(name for name, f in FIELDS.items() if f.metadata["option"])


def command(wheres: Sequence[Where], *more: str) -> str:
    """The `bench run` that makes these numbers: their axes and methods as lists, their conditions from the first.

    What is open or usual is left out. `more`: words added at the end. With numbers that are no whole grid it makes
    the grid that holds them.
    """
    words: list[str] = []
    for name in ASKED:
        option = FIELDS[name].metadata["option"]
        values = [v for v in dict.fromkeys(said(name, where) for where in wheres) if v]
        if values and values not in ([USUAL.get(name)], [PROTOCOL.get(name)]):
            words += option(values[0]) if callable(option) else [option, ",".join(values)]
    return "bench run " + " ".join(shlex.quote(word) for word in (*words, *more))


def crossed(
    wheres: Sequence[Where], methods: Iterable[str], attacks: Iterable[str], test_splits: Iterable[str]
) -> list[Where]:
    """What `command` makes of `methods`, under these attacks and splits, at the places of these coordinates.

    Places whose conditions are other than those of the first are none of that grid.
    """
    conditions = [name for name in ASKED if FIELDS[name].metadata["role"] == CONDITION]
    alike = [where for where in wheres if not where.differing(wheres[0], conditions)]
    return [
        *(dataclasses.replace(where, method="", variant="", attack="", test_split="") for where in alike),
        *map(named, methods),
        *(Where(attack=attack) for attack in attacks),
        *(Where(test_split=split) for split in test_splits),
    ]


def said(name: str, where: Where) -> str:
    """A coordinate as `bench run` reads it; empty where it is open."""
    if name == "method":
        return where.label if where.method else ""
    if name == "ir":
        return "" if math.isnan(where.ir) and not where.natural else where.ratio
    value = getattr(where, name)
    return "" if value is None else str(value)


def named(text: str) -> Where:
    """`taet[beta=0.5]+ema` as coordinates, the others left open. Raises UsageError."""
    (name, settings), *enhancers = parse_method(canonical(text))
    return Where("+".join([name, *(variant_label(*part) for part in enhancers)]), variant_label("", settings)[1:-1])


def read(name: str, text: str) -> str:
    """A word of the command line as `said` writes the coordinate. Raises UsageError for what cannot be one."""
    if name in ("method", "attack"):
        return canonical(text)
    if name == "ir" and text != "natural":
        value = parse_value(text)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 1:
            raise UsageError(f"--ir '{text}' is not a number above 1; write for instance --ir 10 or --ir natural.")
        return format_number(value)
    return text


def fits(where: Where, name: str, words: Collection[str]) -> bool:
    """Whether a coordinate is one of these words (see `read`).

    A method may be named without its settings, a data set without its argument, and what has several parts
    (`bf16, compiled`) by one of them; `none` stands for an empty one.
    """
    whole = said(name, where)
    names = {whole or "none", *whole.split(", ")}
    names |= {where.method} if name == "method" else set()
    names |= {whole.partition(":")[0]} if name == "dataset" else set()
    return not names.isdisjoint(words)
