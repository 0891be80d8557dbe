"""The source tree as data: every module of the package under its installed name, parsed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

#: folder of the checkout -> package it installs as
FOLDERS = {
    "bench": "bench",
    "baselines": "bench.baselines",
    "methods": "bench.methods",
    "reports": "bench.reports",
    "results": "bench.results",
}
#: packages whose modules are plug-ins of the contract in bench.api
PLUGINS = (
    "bench.baselines",
    "bench.methods",
    "bench.attacks",
    "bench.datasets",
    "bench.models",
    "bench.enhancers",
    "bench.sinks",
)


@dataclass(frozen=True)
class Module:
    """One source file: dotted name, package it lies in, path, syntax tree, number of lines."""

    name: str
    package: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def is_plugin(self) -> bool:
        """Whether it is a plug-in or private code of one."""
        return self.package in PLUGINS and self.path.name != "__init__.py"

    def imports(self, *, at_import: bool = False) -> Iterator[tuple[str, int]]:
        """(absolute dotted name, line) of every import, `from a import b` as a.b; `at_import`: not inside functions."""
        for node in _outside_functions(self.tree) if at_import else ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                parents = self.package.split(".")
                above = parents[: len(parents) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not typing_only and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from _outside_functions(node)


@pytest.fixture(scope="session")
def modules(project: Path) -> dict[str, Module]:
    """Every module of the package by dotted name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((project / folder).rglob("*.py")):
            inner = path.relative_to(project / folder).with_suffix("").parts
            parts = (package, *(inner[:-1] if inner[-1] == "__init__" else inner))
            name = ".".join(parts)
            own = name if path.name == "__init__.py" else name.rpartition(".")[0]
            text = path.read_text(encoding="utf-8")
            found[name] = Module(name, own, path, ast.parse(text), text.count("\n"))
    return found


@pytest.fixture(scope="session")
def graph(modules: dict[str, Module]) -> dict[str, set[str]]:
    """module -> modules of this project that it imports, anywhere in its file."""
    edges = {}
    for module in modules.values():
        wanted = {name if name in modules else name.rpartition(".")[0] for name, _ in module.imports()}
        edges[module.name] = {name for name in wanted if name in modules and name != module.name}
    return edges
