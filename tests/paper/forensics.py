"""Can a printed number be true? Checks that need nothing but the numbers themselves.

attainable        is a percentage k/n of a class or test set with n images, and how was it shortened
order_violations  rows whose attacks do not weaken in the order that holds for l_inf attacks
mark_errors       bold and underlined cells that are not the best and second best of their column
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import pandas as pd

#: l_inf attacks from the weakest to the strongest
LINF_ORDER = ("clean", "fgsm", "pgd-20", "pgd-100", "aa")
#: What identifies a row of a printed table
ROW = ("table", "dataset", "ir", "model", "method", "metric_kind", "class_name", "variable")


class Fit(NamedTuple):
    """`images` of n correct give the printed value; `how`: exact (both ways), cut, rounded, short (at its decimals)."""

    images: int
    how: str


def attainable(printed: str, n: int) -> Fit | None:
    """How the percentage `printed` is k/n, or None when no k fits.

    Shortening to two decimals is tried first, both by cutting and by rounding half up; a value printed with fewer
    decimals is then tried at those.
    """
    value = Decimal(printed)
    decimals = max(0, -int(value.as_tuple().exponent))
    for digits in (2, decimals) if decimals < 2 else (decimals,):
        scale = 100 * 10**digits
        wanted = int(value * 10**digits)
        cut = [k for k in _near(value, n) if scale * k // n == wanted]
        rounded = [k for k in _near(value, n) if (2 * scale * k + n) // (2 * n) == wanted]
        if cut or rounded:
            how = "exact" if set(cut) & set(rounded) else "cut" if cut else "rounded"
            return Fit((cut or rounded)[0], how if digits == max(2, decimals) else "short")
    return None


def _near(value: Decimal, n: int) -> Sequence[int]:
    guess = int(value * n / 100)
    return range(max(0, guess - 1), min(n, guess + 2) + 1)


def order_violations(numbers: pd.DataFrame) -> list[tuple[tuple[object, ...], str, str, float]]:
    """(row's key, stronger attack, weaker attack, points above) where a stronger attack leaves more accuracy.

    `numbers`: columns `ROW`, `attack`, `number` (fraction). Neighbours of `LINF_ORDER` are compared, AutoAttack with
    the strongest PGD of the row; CW, which has no place in the order, with clean.
    """
    found = []
    for key, row in numbers.groupby(list(ROW), sort=False):
        value = dict(zip(row["attack"], row["number"], strict=True))
        present = [attack for attack in LINF_ORDER if attack in value]
        pairs = [*zip(present[1:], present, strict=False), *([("cw", "clean")] if "cw" in value else [])]
        for stronger, weaker in pairs:
            if weaker in value and value[stronger] > value[weaker]:
                found.append((tuple(key), stronger, weaker, round(100 * (value[stronger] - value[weaker]), 2)))
    return found


def mark_errors(column: pd.DataFrame, underlines: bool = False) -> list[tuple[int, str, str]]:
    """(position, printed emphasis, emphasis by rule) of the cells of one column whose mark is wrong.

    Bold is the largest number, underlined (where the table underlines) the second largest, ties included.
    """
    distinct = sorted(set(column["number"]), reverse=True)
    rule = {distinct[0]: "bold"} | ({distinct[1]: "underline"} if underlines and len(distinct) > 1 else {})
    return [
        (i, printed, rule.get(number, ""))
        for i, (printed, number) in enumerate(zip(column["emphasis"], column["number"], strict=True))
        if printed != rule.get(number, "")
    ]
