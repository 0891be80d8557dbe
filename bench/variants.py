"""How names with settings are written: `trades[beta=3,milestones=50:75]`, read and written so that both agree.

A value is a finite number (`3`, `0.1`, `2/255`), a list of numbers (`50:75`), `true`, `false`, `none`, or a text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from bench.errors import UsageError

WORDS = {"true": True, "false": False, "none": None}
#: the largest whole number that a text may name: as every file of a store can hold it, 64 bits with a sign
LARGEST = 2**63 - 1


def split_list(text: str, mark: str = ",") -> list[str]:
    """`a,b[x=1,y=2],c` -> [`a`, `b[x=1,y=2]`, `c`]; marks inside brackets do not separate."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == mark and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def parse_variant(text: str) -> tuple[str, dict[str, Any]]:
    """`trades[beta=3,step=1/255]` -> (`trades`, {beta: 3, step: 1/255}). Raises UsageError."""
    match = re.fullmatch(r"([^\[\]]+?)\s*(?:\[(.*)\])?", text.strip())
    if not match:
        raise UsageError(f"'{text}' cannot be read; write name or name[setting=value,setting=value].")
    params: dict[str, Any] = {}
    for part in split_list(match[2] or ""):
        key, sign, value = part.partition("=")
        if not sign or not key.strip() or not value.strip():
            raise UsageError(f"'{part}' in '{text}' cannot be read; write setting=value.")
        if key.strip() in params:
            raise UsageError(f"'{key.strip()}' stands twice in '{text}'; give it once.")
        params[key.strip()] = parse_value(value.strip())
    return match[1].strip(), params


def parse_method(text: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    """`at-bsl[lr=0.2]+ema[tau=0.9]` -> the method and its enhancers, each with its settings. Raises UsageError."""
    parts = split_list(text, "+")
    if not parts or text.strip().startswith("+") or text.strip().endswith("+") or "++" in text:
        raise UsageError(f"'{text}' cannot be read; write method[setting=value]+enhancer[setting=value]+...")
    return tuple(parse_variant(part) for part in parts)


def parse_value(text: str) -> Any:
    """The value a text stands for; what is neither number, list nor word (`inf` for one) is the text itself."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    numbers = [_number(part.strip()) for part in text.split(":")]
    if None in numbers:
        return text
    return tuple(numbers) if len(numbers) > 1 else numbers[0]


def _number(text: str) -> int | float | None:
    if re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    fraction = re.fullmatch(r"([+-]?[\d.]+)/([\d.]+)", text)
    try:
        value = float(fraction[1]) / float(fraction[2]) if fraction else float(text)
    except (ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) else None


def whole_number(text: str, largest: int = LARGEST) -> int | None:
    """The whole number from 0 to `largest` that a text writes in digits alone; None for any other text."""
    digits = text.lstrip("0") or "0"  # Python reads only so many at once
    number = int(digits) if text.isdecimal() and len(digits) <= len(str(largest)) else None
    return number if number is not None and number <= largest else None


def format_number(value: float) -> str:
    """The shortest decimal text that `float` reads back as the same number: `10`, `0.1`, `10.12345678`, `1e-05`."""
    if isinstance(value, int):
        return str(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(value))


def format_value(value: Any) -> str:
    """The shortest text that `parse_value` reads back: `8/255`, but `0.2`, which is 51/255 too."""
    if isinstance(value, tuple):
        return ":".join(map(format_value, value))
    if isinstance(value, float) and math.isfinite(value):
        text = format_number(value)
        if 0.5 < value * 255 < 254.5 and abs(value * 255 - round(value * 255)) < 1e-9:
            text = min(text, f"{round(value * 255)}/255", key=len)
        return text
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def variant_label(name: str, params: Mapping[str, Any]) -> str:
    """`name` or `name[a=1,b=2/255]`, settings sorted by name; of `method+enhancer` they are the method's."""
    inside = ",".join(f"{k}={format_value(v)}" for k, v in sorted(params.items()))
    base, plus, enhancers = name.partition("+")
    return f"{base}[{inside}]{plus}{enhancers}" if inside else name
