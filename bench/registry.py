"""One registry for everything that can be added: a folder scan, entry points, lazy imports.

A plug-in is a module that applies `register` (see `bench.api`) to one class. Its name is its file's name with
`_` for `-`, so names can be listed without importing anything; the first line of the module's docstring is its
description. A package outside this project adds one through the entry point group `bench.<kind>` with the name
it wants and `module:Class` as target. Two plug-ins of one name are an error that names both origins.

A foreign plug-in that is broken is listed with what is wrong with it; it stops nobody who does not use it.

A name may carry an argument after a colon (`archive:PATH`, `timm:NAME`): the part before it is looked up, the
rest is handed to the plug-in by its user.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from bench.errors import BenchError, UsageError, did_you_mean, in_words

#: kind -> packages whose modules are plug-ins of that kind
FOLDERS: dict[str, tuple[str, ...]] = {
    "methods": ("bench.baselines", "bench.methods"),
    "datasets": ("bench.datasets",),
    "models": ("bench.models",),
    "attacks": ("bench.attacks",),
    "enhancers": ("bench.enhancers",),
    "tables": ("bench.reports.tables",),
    "figures": ("bench.reports.figures",),
    "sinks": ("bench.sinks",),
}


@dataclass(frozen=True)
class Origin:
    """Where a plug-in comes from: `module` to import, `attribute` in it (None: the one it registers), `file`.

    `problem`: why the module cannot be found.
    """

    module: str
    attribute: str | None
    file: str
    problem: str = ""

    def describe(self) -> str:
        """First line of the module's docstring, read from the source without importing it, or what is wrong with it."""
        if self.problem:
            return f"BROKEN: {self.problem}"
        if not self.file.endswith(".py"):
            return ""
        try:
            doc = ast.get_docstring(ast.parse(Path(self.file).read_text(encoding="utf-8")))
        except (OSError, SyntaxError, ValueError) as error:
            return f"BROKEN: {in_words(error, ImportError)}"
        return doc.strip().splitlines()[0] if doc else ""


class Registry:
    """All plug-ins of one kind, by name. Names are known at once; classes are imported when asked for."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._origins: dict[str, Origin] | None = None
        self._loaded: dict[str, type[Any]] = {}

    @property
    def origins(self) -> dict[str, Origin]:
        """Name -> origin of every plug-in, sorted by name. Raises BenchError when two share a name."""
        if self._origins is None:
            found: dict[str, Origin] = {}
            for name, origin in [*self._scan(), *self._entry_points()]:
                if name in found:
                    raise BenchError(
                        f"two {self.kind} are called '{name}': {found[name].module} and {origin.module}; rename one."
                    )
                found[name] = origin
            self._origins = dict(sorted(found.items()))
        return self._origins

    def _scan(self) -> Iterator[tuple[str, Origin]]:
        for package in FOLDERS.get(self.kind, ()):
            spec = importlib.util.find_spec(package)
            for folder in (spec.submodule_search_locations or []) if spec else []:
                for path in sorted(Path(folder).glob("*.py")):
                    if not path.stem.startswith("_"):
                        yield path.stem.replace("_", "-"), Origin(f"{package}.{path.stem}", None, str(path))

    def _entry_points(self) -> Iterator[tuple[str, Origin]]:
        for point in entry_points(group=f"bench.{self.kind}"):
            yield point.name, _find(point)

    def names(self) -> list[str]:
        """All names, sorted."""
        return list(self.origins)

    def origin(self, name: str) -> Origin:
        """Where `name` (its part before a colon) comes from. Raises UsageError with a suggestion when unknown."""
        base = name.partition(":")[0]
        if base not in self.origins:
            raise UsageError(
                f"unknown {self.kind[:-1]} '{name}'{self._elsewhere(base)}. {did_you_mean(base, self.origins)}"
            )
        return self.origins[base]

    def _elsewhere(self, name: str) -> str:
        """What else is called so, in words: `at+awp` may have been written `awp`."""
        kinds = [kind[:-1] for kind in FOLDERS if kind != self.kind and name in registry(kind).origins]
        if not kinds:
            return ""
        behind = f"; write it behind a method, METHOD+{name}" if "enhancer" in kinds else ""
        return f", which is an {kinds[0]}{behind}" if kinds[0][0] in "aeiou" else f", which is a {kinds[0]}{behind}"

    def get(self, name: str) -> type[Any]:
        """The class of `name`, imported now. Raises UsageError when unknown, BenchError when it cannot be imported."""
        base = name.partition(":")[0]
        origin = self.origin(name)
        if base not in self._loaded:
            what = f"{self.kind[:-1]} '{base}' ({origin.file}) cannot be imported"
            if origin.problem:
                raise BenchError(f"{what}: {origin.problem}.")
            try:
                module = importlib.import_module(origin.module)
            except Exception as error:  # a plug-in is anybody's code
                raise BenchError(f"{what}: {in_words(error, ImportError)}.") from error
            self._loaded[base] = self._pick(base, origin, module)
        cls = self._loaded[base]
        if ":" in name and not hasattr(cls, "argument_name"):
            raise UsageError(
                f"{self.kind[:-1]} '{base}' takes no argument, and '{name}' gives one; write {base}, settings in "
                "brackets."
            )
        return cls

    def _pick(self, name: str, origin: Origin, module: Any) -> type[Any]:
        if origin.attribute:
            chosen: type[Any] | None = getattr(module, origin.attribute, None)
            if chosen is None:
                raise BenchError(f"{origin.file} has no {origin.attribute}; mend the entry point of '{name}'.")
        else:
            own = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
            marked = [c for c in own if c.__dict__.get("registered_as") == self.kind]
            if len(marked) != 1:
                raise BenchError(f"{origin.file} must register exactly one of the {self.kind}; it has {len(marked)}.")
            chosen = marked[0]
        if getattr(chosen, "name", None) != name:
            raise BenchError(f"{origin.file}: the class names itself '{getattr(chosen, 'name', None)}', not '{name}'.")
        return chosen

    def add(self, name: str, cls: type[Any]) -> None:
        """Add a class at run time (tests, notebooks). Raises BenchError when the name is taken."""
        if name in self.origins:
            raise BenchError(f"a {self.kind[:-1]} called '{name}' exists already: {self.origins[name].module}.")
        self.origins[name] = Origin(cls.__module__, cls.__qualname__, cls.__module__)
        self._loaded[name] = cls

    def discard(self, name: str) -> None:
        """Take back what `add` added."""
        self.origins.pop(name, None)
        self._loaded.pop(name, None)


def _find(point: EntryPoint) -> Origin:
    """Where an entry point leads, or why nowhere."""
    try:
        module, attribute = point.module, point.attr or None
        spec = importlib.util.find_spec(module)
    except Exception as error:  # this imports the packages around the module, which are anybody's code
        return Origin(point.value, None, point.value, in_words(error, ImportError))
    if spec is None:
        return Origin(module, attribute, point.value, f"No module named '{module}'")
    return Origin(module, attribute, spec.origin or module)


@cache
def registry(kind: str) -> Registry:
    """The one registry of a kind: methods, datasets, models, attacks, tables, figures, sinks."""
    if kind not in FOLDERS:
        raise UsageError(f"unknown kind of plug-in '{kind}'. {did_you_mean(kind, FOLDERS)}")
    return Registry(kind)
