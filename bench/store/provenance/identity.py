"""What a number was made from, as short marks that change when it does: the code of a plug-in, and files.

A mark of code is a hash of the plug-in's file and of every file that it imports of its own (of its package, or beside
it), without comments and docstrings, so that only what is computed counts; and of the data files beside them that this
code names (`named.py`). What a plug-in imports of this project is left out but for its own folder: the benchmark
version says what that means. A network of an installed library has the mark of its version. A mark of files
is cheap, it reads no content: equal marks mean equal files, other marks mean that somebody has to look.
"""

from __future__ import annotations

import ast
import hashlib
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions, version
from pathlib import Path

from bench.errors import BenchError
from bench.registry import FOLDERS, registry
from bench.store.provenance.named import named_files

#: folders in which everybody's packages lie: what stands beside a plug-in there is not its own
_SHARED = ("site-packages", "dist-packages")


@cache
def code(kind: str, name: str) -> str:
    """16 hex digits of a plug-in's code, or an empty text where no source is known. Taken once a process: its code is.

    `name` may carry an argument (`archive:PATH`). A network's may be a factory of the user, `package.module:factory`:
    its source is known where its module is loaded, as in the process that evaluates it.
    """
    foreign = False
    try:
        origin = registry(kind).origin(name)
        module, file = origin.module, Path(origin.file)
    except BenchError:  # a network from elsewhere, or its label in the method's place
        module, file, foreign = name.partition(":")[0], Path(), True
    if not file.is_file():  # added at run time: by a module that is loaded, or typed into a notebook
        file = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    if not file.is_file():
        return ""
    if foreign and (release := _release(module, file)):
        return hashlib.sha256(release.encode()).hexdigest()[:16]
    total, closure = hashlib.sha256(), _closure(module, file)
    for part, path in sorted(closure.items()):
        total.update(f"{part}\n".encode())
        total.update(_meaning(path))
    for data, content in named_files(closure):
        total.update(f"{data}\n{content}\n".encode())
    return total.hexdigest()[:16]


def _release(module: str, file: Path) -> str:
    """Names and versions of the installed distributions that hold a module; empty where it is no installed one.

    A network may be of a class of torch itself: a released library is known by its version, not read file by file.
    """
    if not any(part in _SHARED for part in file.parts):
        return ""
    holders = packages_distributions().get(module.partition(".")[0], ())
    return ", ".join(f"{name} {version(name)}" for name in sorted(set(holders)))


def files(paths: Iterable[Path]) -> str:
    """16 hex digits of where files lie, how long they are and when they were last changed; empty without files.

    A file that is not there is marked as such. The time of the last change of state cannot be set by anybody, so a file
    that was rewritten with the old length and the old date is noticed.
    """
    lines = [_state(path) for path in sorted({path.expanduser().resolve() for path in paths})]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else ""


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"{path} absent"
    return f"{path} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def _closure(module: str, file: Path) -> dict[str, Path]:
    """Module -> file of a module and of all that it imports of its own, at whatever depth."""
    found, left = {module: file}, [module]
    while left:
        at = left.pop()
        for name in _imported(at, found[at]):
            if name not in found and (path := _own(name, module, file)) is not None:
                found[name] = path
                left.append(name)
    return found


def _imported(module: str, file: Path) -> Iterator[str]:
    """Full names of what a file imports anywhere in it; `from a import b` may mean a module or something in one."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _own(name: str, module: str, file: Path) -> Path | None:
    """The file of a module that belongs to the plug-in `module`, or None: it is somebody else's, or no module."""
    top = name.partition(".")[0]
    if top == "bench":
        return _find(name) if name.startswith(tuple(f"{p}." for folders in FOLDERS.values() for p in folders)) else None
    root = file.parents[module.count(".")] if len(file.parents) > module.count(".") else file.parent
    if top != module.partition(".")[0] and root.name in _SHARED:
        return None
    *packages, last = name.split(".")
    folder = root.joinpath(*packages)
    candidates = (folder / f"{last}.py", folder / last / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _find(name: str) -> Path | None:
    """The file of a module in a package that is loaded."""
    package, _, _ = name.rpartition(".")
    spec = PathFinder.find_spec(name, getattr(sys.modules.get(package), "__path__", None) or _places(package))
    return Path(spec.origin) if spec and spec.origin else None


def _places(package: str) -> list[str]:
    from importlib.util import find_spec

    found = find_spec(package)
    return list(found.submodule_search_locations or []) if found else []


def _meaning(path: Path) -> bytes:
    """A source file without comments, docstrings and empty lines; any other file as it is."""
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
        lines = io.BytesIO(content).readline
        encoding, _ = tokenize.detect_encoding(lines)
        text = content.decode(encoding).splitlines()
        comments = [t.start for t in tokenize.tokenize(io.BytesIO(content).readline) if t.type == tokenize.COMMENT]
    except (SyntaxError, ValueError, tokenize.TokenError):
        return content
    for row, column in comments:
        text[row - 1] = text[row - 1][:column]
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            doc = node.body[0]
            for row in range(doc.lineno, (doc.end_lineno or doc.lineno) + 1):
                text[row - 1] = ""
    return "\n".join(line.rstrip() for line in text if line.strip()).encode()
