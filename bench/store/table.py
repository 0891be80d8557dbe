"""A table of counts as a data frame: the columns of `schema.PER_CLASS`, and those that came later."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping

import pandas as pd

from bench.store.schema import LATER, PER_CLASS
from bench.store.where import USUAL


def parse(content: bytes) -> pd.DataFrame:
    """The columns that a table has.

    Raises ValueError for a column that stands twice, and for a value that is none of its kind, which is named.
    """
    kinds = PER_CLASS | LATER
    empty = {k: [""] for k, v in kinds.items() if v != "string"}
    try:
        first = content.split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
        for sign, words in ((";", "semicolons"), ("\t", "tabs")):
            if "," not in first and first.count(sign) >= len(PER_CLASS) - 1:
                raise ValueError(f"its columns stand between {words}, not commas; save it with commas")
        head = [name.strip('"') for name in first.split(",")]
        if twice := [name for name in kinds if head.count(name) > 1]:
            raise ValueError(f"the column '{twice[0]}' stands twice")
        return pd.read_csv(io.BytesIO(content), dtype=kinds, keep_default_na=False, na_values=empty)
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8; save it as UTF-8") from error
    except (ValueError, TypeError, OverflowError) as error:  # pandas has all three for numbers
        raise ValueError(_misfit(content, kinds) or " ".join(str(error).split())) from error


def _misfit(content: bytes, kinds: Mapping[str, str]) -> str:
    """The first number of a table that is none of its column, in words; nothing where that is not what is wrong."""
    try:
        found = pd.read_csv(io.BytesIO(content), dtype="string", keep_default_na=False)
    except (ValueError, TypeError, OverflowError):
        return ""
    for column, kind in kinds.items():
        reads = _READERS.get(kind)
        if reads is None or column not in found:
            continue
        for line, word in enumerate(found[column], 2):
            if word and not reads(word):
                wanted = "a whole number" if kind == "Int64" else "a number"
                return f"line {line}: {column} is '{word[:40]}', not {wanted}"
    return ""


def _whole(word: str) -> bool:
    try:
        value = float(word)
    except ValueError:
        return False
    return value.is_integer() and abs(value) < 2**63


def _number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


_READERS: dict[str, Callable[[str], bool]] = {"Int64": _whole, "Float64": _number}


def whole(frame: pd.DataFrame) -> pd.DataFrame:
    """All columns in their order; one that came later and is not there holds its usual value."""
    for name, kind in LATER.items():
        usual = pd.Series([USUAL[name]] * len(frame), index=frame.index, dtype=kind)
        frame[name] = frame[name].fillna(USUAL[name]) if name in frame else usual
    return frame[[*PER_CLASS, *LATER]]
