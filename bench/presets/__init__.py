"""Named grids, as data: one TOML file each, `[[grids]]` tables of the axes of `bench.engine.grid.Axes`.

A preset may name others in `include`. `description` is what `bench ls presets` shows.
"""

from __future__ import annotations

import dataclasses
import tomllib
from importlib.resources import files
from typing import Any

from bench.engine.grid import Axes
from bench.errors import UsageError, did_you_mean


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
    """The grids of a preset, those it includes first. Raises UsageError when it is unknown."""
    body = _read(name)
    included = [axes for other in body.get("include", ()) for axes in grids(other)]
    return [*included, *(_axes(grid) for grid in body.get("grids", ()))]


def _read(name: str) -> dict[str, Any]:
    if name not in names():
        raise UsageError(f"unknown preset '{name}'. {did_you_mean(name, names())}")
    return tomllib.loads((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))


def _axes(grid: dict[str, Any]) -> Axes:
    known = {f.name for f in dataclasses.fields(Axes)}
    if wrong := set(grid) - known:
        raise UsageError(f"preset: unknown axis '{min(wrong)}'. {did_you_mean(min(wrong), known)}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in grid.items()}
    return Axes(**values)
