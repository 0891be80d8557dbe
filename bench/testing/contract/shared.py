"""What a plug-in of every kind keeps: it describes itself, imports `bench.api` alone, takes only what fits."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.config import make
from bench.errors import UsageError
from bench.fields import kinds
from bench.registry import registry
from bench.testing.contract import Target, require

#: what no plug-in may call: the device comes from the tensors, the randomness from the given noise
FORBIDDEN = ("cuda", "manual_seed")


def describes_itself(target: Target) -> None:
    """Name, registration, and the lines that `bench ls` and `bench show` print."""
    cls = target.cls
    require(isinstance(getattr(cls, "name", None), str) and cls.name, f"{cls.__name__} has no name.")
    require(getattr(cls, "registered_as", None) == target.kind, f'{cls.__name__} lacks @register("{target.kind}").')
    require(cls.__dict__.get("__doc__"), f"{cls.__name__} has no docstring.")
    first = ((sys.modules[cls.__module__].__doc__ or "").strip().splitlines() or [""])[0]
    require(len(first) > 20, f"the module of {cls.__name__} has no first line that describes it in `bench ls`.")
    require(cls.name in registry(target.kind).names(), f"{cls.name} is not found by its name.")


def keeps_the_rules(target: Target) -> None:
    """Of the project it imports `bench.api` alone, and names no device and no seed."""
    path = Path(inspect.getfile(target.cls))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        for name in names:
            require(
                name.partition(".")[0] != "bench" or name == "bench.api" or target.kind in ("tables", "figures"),
                f"{path.name} imports {name}; a plug-in imports bench.api alone.",
            )
        if isinstance(node, ast.Attribute):
            require(node.attr not in FORBIDDEN, f"{path.name} uses .{node.attr} (line {node.lineno}).")


def refuses(cls: type[Any], what: str, settle: Callable[[Mapping[str, Any]], Any] | None = None) -> None:
    """Each value out of a field's type or range is refused in one sentence that names the field.

    `settle`: what takes the settings, where that is more than `make`.
    """
    take = settle or (lambda values: make(cls, values, what))
    for field in dataclasses.fields(cls):
        for value in wrong_values(cls, field):
            said = complaint(lambda field=field, value=value: take({field.name: value}))  # type: ignore[misc]
            require(said, f"{field.name}={value!r} is taken, though it does not fit.")
            require("\n" not in said and said.endswith("."), f"the answer to {field.name}={value!r} is no sentence.")
            require(field.name in said, f"the answer to {field.name}={value!r} does not name the setting.")
    said = complaint(lambda: take({"no_such_setting": 1}))
    require("has no setting 'no_such_setting'" in said, "a setting that does not exist is taken.")


def wrong_values(cls: Any, field: dataclasses.Field[Any]) -> list[Any]:
    """Values that do not fit a field: beyond each limit, no such choice, another type."""
    kind, limits = kinds(cls)[field.name], field.metadata
    wrong: list[Any] = [
        limits[bound] + by for bound, by in (("low", -1), ("high", 1), ("above", 0)) if limits.get(bound) is not None
    ]
    if kind and (kind.choices or limits.get("choices")):
        wrong.append("no such choice")
    if kind and kind.base is not str:
        wrong += ["three", "1e999"]
    return wrong


def complaint(action: Callable[[], Any]) -> str:
    """The sentence with which `action` refuses, or an empty text when it does not."""
    try:
        action()
    except UsageError as error:
        return str(error)
    return ""
