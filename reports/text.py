"""How a number, an interval and a name are written; the same text in every format, escaped for each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from bench.reports.model import SIGNS, Cell, Verdict
from bench.visible import visible

DASH = "—"
INTERVALS = ("sampling", "seeds", "both")
#: how an interval is named beside its numbers
INTERVAL_LABEL = {"sampling": "img", "seeds": "seeds"}


def number(value: float | None, decimals: int = 2, *, signed: bool = False) -> str:
    """`35.15`, or with a sign (`+0.42`, `−0.42` with a true minus); a dash for None. Minus zero is zero."""
    if value is None:
        return DASH
    value = round(value, decimals) + 0.0
    text = f"{value:+.{decimals}f}" if signed and value else f"{value:.{decimals}f}"
    return text.replace("-", "−")


def intervals(cell: Cell, which: str) -> list[tuple[str, str]]:
    """(name, `[low, high]`) of the intervals asked for: `sampling`, `seeds` or `both`.

    Seeds that gave the same number have no interval: its width of zero would read as certainty.
    """
    found = []
    if which != "seeds" and cell.sampling:
        found.append((INTERVAL_LABEL["sampling"], _span(cell.sampling)))
    if which != "sampling" and cell.seeds:
        count = len(cell.provenance) if cell.runs is None else cell.runs
        span = f"equal in {count or 'all'}" if cell.agree else _span(cell.seeds)
        found.append((INTERVAL_LABEL["seeds"], span))
    return found


def _span(interval: tuple[float, float]) -> str:
    return f"[{number(interval[0])}, {number(interval[1])}]"


def sign(mark: str) -> str:
    """A footnote's mark as it is printed: in capitals, since small i, j and l are alike in small print."""
    return mark.upper() if len(mark) == 1 else mark


def difference(cell: Cell) -> str:
    """Measured minus paper with its sign and the verdict's sign: `−0.42 ≈`."""
    if cell.difference is None:
        return SIGNS[cell.verdict] if cell.verdict is Verdict.IMPOSSIBLE else ""
    return f"{number(cell.difference, signed=True)} {SIGNS[cell.verdict]}".strip()


def slug(text: str) -> str:
    """A text as part of a file name and an anchor: ASCII letters, digits and `-`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-").lower()


# ------------------------------------------------------------------------------------------------- Markdown

_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~$!])")


def markdown(text: str) -> str:
    """Plain text as Markdown that shows just that text, inside a table too."""
    escaped = _MARKDOWN.sub(r"\\\1", visible(str(text)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")


def code(text: str) -> str:
    """Plain text as a code span on one line, whatever backticks it has."""
    line = visible(text).replace("\n", "[U+000A]")
    ticks = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    return f"{ticks} {line} {ticks}" if "`" in line else f"`{line}`"


def fence(lines: Sequence[str]) -> str:
    """Commands as a block of shell code, one a line, that none of them can end."""
    body = [visible(line).replace("\n", "[U+000A]") for line in lines]
    ticks = "`" * max(3, *(len(run) + 1 for line in body for run in re.findall("`+", line)), 3)
    return "\n".join([f"{ticks}sh", *body, ticks])


# ------------------------------------------------------------------------------------------------ spreadsheets


def spreadsheet(text: str) -> str:
    """Plain text as a field of a CSV file that no spreadsheet takes for a formula."""
    shown = visible(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@", "\t")) else shown


# ---------------------------------------------------------------------------------------------------- LaTeX

_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"''", "`": r"\textquoteleft{}", "\n": " ", "\t": " ",
    "−": r"\ensuremath{-}", "±": r"\ensuremath{\pm}", "≈": r"\ensuremath{\approx}", "≠": r"\ensuremath{\neq}",
    "≤": r"\ensuremath{\leq}", "≥": r"\ensuremath{\geq}", "⊘": r"\ensuremath{\oslash}", "…": r"\ldots{}",
    "∞": r"\ensuremath{\infty}", "ℓ": r"\ensuremath{\ell}", "₂": r"\ensuremath{_2}", "×": r"\ensuremath{\times}",
    "→": r"\ensuremath{\to}", "·": r"\ensuremath{\cdot}", "∅": r"\ensuremath{\emptyset}", "µ": r"\ensuremath{\mu}",
    "—": "---", "–": "--", "’": "'", "“": "``", "”": "''", "\u00a0": "~",
    "†": r"\ensuremath{\dagger}", "‡": r"\ensuremath{\ddagger}",
    "§": r"\ensuremath{\mathsection}", "¶": r"\ensuremath{\mathparagraph}",
    "©": r"\copyright{}", "°": r"\ensuremath{^\circ}", "ß": r"\ss{}", "ø": r"\o{}",
    "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ł": r"\l{}", "Ł": r"\L{}",
    "ı": r"\i{}", "¿": "?`", "¡": "!`", "▲": r"\ensuremath{\bigtriangleup}", "▼": r"\ensuremath{\bigtriangledown}",
    "⚠": r"\ensuremath{\triangle}",
    "●": r"\ensuremath{\bullet}", "○": r"\ensuremath{\circ}",
    "◆": r"\ensuremath{\diamond}", "*": r"\ensuremath{*}",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030a": "r", "\u0327": "c",
    "\u030c": "v", "\u0306": "u", "\u0307": ".", "\u0304": "=", "\u030b": "H",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "υ": "upsilon", "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta",
    "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip


def latex(text: str) -> str:
    """Plain text as LaTeX in pure ASCII, for any engine and the basic fonts.

    Accented Latin letters become accent commands, Greek letters mathematics; a letter outside both is shown by its
    code point (`[U+732B]`), since the basic fonts have no glyph for it.
    """
    parts = unicodedata.normalize("NFC", str(text)).split("ℓ∞")
    return r"\ensuremath{\ell_\infty}".join("".join(map(_latex_char, part)) for part in parts)


def typewriter(text: str) -> str:
    r"""`latex` for use inside \texttt: straight quotes, and lines may break after commas and hyphens."""
    body = r"{\char13}".join(map(latex, text.split("'")))
    return body.replace(",", r",\allowbreak{}").replace("-", r"-\allowbreak{}")


def _latex_char(char: str) -> str:
    if char in _TEX:
        return _TEX[char]
    if " " <= char <= "~":
        return char
    if char in _GREEK:
        return rf"\ensuremath{{\{_GREEK[char]}}}"
    base, *accents = list(unicodedata.normalize("NFD", char))
    if base.isascii() and base.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS:
        letter = rf"\{base}" if base in "ij" else base
        return rf"\{_ACCENTS[accents[0]]}{{{letter}}}"
    return f"[U+{ord(char):04X}]" if char.isprintable() or unicodedata.category(char)[0] != "C" else ""
