"""Numbers and names as text, escaped for each format."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reports import text


@pytest.mark.parametrize(
    ("value", "signed", "expected"),
    [
        (35.149, False, "35.15"),
        (-0.001, True, "0.00"),
        (0.42, True, "+0.42"),
        (-0.42, True, "−0.42"),
        (None, False, "—"),
    ],
)
def test_number(value: float | None, signed: bool, expected: str) -> None:
    assert text.number(value, signed=signed) == expected


@given(st.text())
def test_latex_is_ascii_and_has_no_live_special(name: str) -> None:
    out = text.latex(name)
    assert out.isascii()
    bare = re.sub(r"\\ensuremath\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+|\\.", "", out)
    assert not set(bare) & set("_%&#$^\\")


@given(st.text())
def test_markdown_leaves_no_live_character(name: str) -> None:
    out = text.markdown(name)
    assert "<" not in out
    assert "\n" not in out
    assert not re.search(r"(?<!\\)(?:\\\\)*[|*_`]", out)


def test_latex_of_known_names() -> None:
    assert text.latex("50% & a_b") == r"50\% \& a\_b"
    assert text.latex("mañana é ł ß") == r"ma\~{n}ana \'{e} \l{} \ss{}"
    assert text.latex("猫") == "[U+732B]"
    assert text.latex("ℓ∞, ε") == r"\ensuremath{\ell_\infty}, \ensuremath{\varepsilon}"


@given(st.text())
def test_slug_is_a_safe_name(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]*", text.slug(name))
