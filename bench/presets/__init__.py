"""Named grids, as data: one TOML file each, `[[grids]]` tables of the axes of `bench.engine.grid.Axes`.

A preset may name others in `include`. `description` is what `bench ls presets` shows. A file of the user in the same
form is one too, by its path (`mine.toml`); in `include` that is one from the folder of the including file.
"""

from __future__ import annotations

import dataclasses
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from bench.config import format_value
from bench.engine.grid import Axes
from bench.errors import UsageError, did_you_mean
from bench.paths import in_full


def names() -> list[str]:
    """All presets: quick first, then the paper's tables and figures in order, then the rest."""
    found = [p.name.removesuffix(".toml") for p in files(__name__).iterdir() if p.name.endswith(".toml")]
    return sorted(
        found, key=lambda n: (n != "quick", n.rstrip("0123456789"), int("".join(filter(str.isdecimal, n)) or 0))
    )


def describe(name: str) -> str:
    """The preset's description."""
    return str(_read(name).get("description", ""))


def grids(name: str) -> list[Axes]:
    """The grids of a preset, those it includes first. Raises UsageError when it is unknown or no preset."""
    return _grids(name, ())


def _grids(name: str, within: tuple[str, ...]) -> list[Axes]:
    """`within`: the presets that include it."""
    if _file(name) in map(_file, within):
        raise UsageError(f"preset '{name}' includes itself ({' -> '.join((*within, name))}); take one of these out.")
    body = _read(name)
    others = [_beside(other, name) for other in body.get("include", ())]
    included = [axes for other in others for axes in _grids(other, (*within, name))]
    found = [*included, *(_axes(grid, name) for grid in body.get("grids", ()))]
    if not found:
        raise UsageError(f"preset '{name}' holds no grid; write [[grids]] with methods and datasets.")
    return found


def _beside(other: str, name: str) -> str:
    """What a preset includes: the name of one, or the path of a file, from the folder of the file `name`."""
    return str(in_full(name).parent / in_full(other)) if other.endswith(".toml") else other


def _file(name: str) -> str | Path:
    """What tells presets apart: a name, or the file whatever its path is."""
    return in_full(name).resolve() if name.endswith(".toml") else name


def _read(name: str) -> dict[str, Any]:
    if name.endswith(".toml"):
        return _of_user(name)
    if name not in names():
        raise UsageError(f"unknown preset '{name}'. {did_you_mean(name, names())} A file's name ends with .toml.")
    return tomllib.loads((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))


def _of_user(name: str) -> dict[str, Any]:
    """A file of the user. Raises UsageError with what is wrong in it."""
    try:
        body = tomllib.loads(in_full(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"preset {name} cannot be read ({error.strerror or error}); give a file that is there."
        ) from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or lists in lists without an end
        raise UsageError(f"preset {name} is no TOML ({' '.join(str(error).split())}); mend that line.") from None
    known = {"description", "include", "grids"}
    if wrong := body.keys() - known:
        raise UsageError(f"preset {name}: unknown key '{min(wrong)}'. {did_you_mean(min(wrong), known)}")
    for key, kind in (("include", str), ("grids", dict)):
        parts = body.get(key, [])
        if not isinstance(parts, list) or not all(isinstance(part, kind) for part in parts):
            raise UsageError(f"preset {name}: '{key}' is {parts!r}; write it as `bench/presets/quick.toml` does.")
    return body


def _axes(grid: dict[str, Any], name: str) -> Axes:
    """Raises UsageError for an axis that there is not, that lacks, or that has a value of another kind."""
    known = {f.name for f in dataclasses.fields(Axes)}
    if wrong := set(grid) - known:
        raise UsageError(f"preset {name}: unknown axis '{min(wrong)}'. {did_you_mean(min(wrong), known)}")
    try:
        return msgspec.convert(grid | _ratios(grid), Axes)
    except msgspec.ValidationError as error:
        raise UsageError(f"preset {name}: {str(error).rstrip('.')}; lists are lists, seeds whole numbers.") from None


def _ratios(grid: dict[str, Any]) -> dict[str, Any]:
    """Ratios may be numbers."""
    irs = grid.get("irs")
    if not isinstance(irs, list):
        return {}
    return {"irs": [format_value(ir) if isinstance(ir, int | float) else ir for ir in irs]}
