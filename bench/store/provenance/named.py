"""Data files that code names: tables, settings and weights beside a plug-in's source which it reads when it runs.

Code is not run to find them. A file is taken for data of a package when it lies anywhere in it and the source has a
text that names it: its name, a folder above it, or, as the constant part of a composed name or a pattern, the end of
its name from a dot on (`f"{part}.json"`, `*.csv`). Beside a module outside any package lies everything its author works
on, so there the text must name the file itself.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

#: what Python and its tools leave beside source, and source itself, which is marked as code
NO_DATA = (".py", ".pyc", ".pyi", ".pyo", ".so", ".pyd")
#: files looked at in one folder at most: a plug-in that lies beside a data set is no package
MOST = 5000


def named_files(modules: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """(path below its folder, 64 hex digits of its content) of each, sorted. `modules`: name -> file of a closure."""
    found: dict[Path, str] = {}
    for folder, texts in _texts(modules).items():
        whole = (folder / "__init__.py").is_file()
        for path in _beneath(folder, whole):
            below = path.relative_to(folder)
            if path not in found and _named(texts, below.parts if whole else below.parts[-1:]):
                found[path] = below.as_posix()
    for path, name in sorted(found.items(), key=lambda item: item[1]):
        if content := _content(path):
            yield name, content


def _texts(modules: Mapping[str, Path]) -> dict[Path, set[str]]:
    """Folder of a package, or of a module outside one -> parts of paths that its source names."""
    found: dict[Path, set[str]] = {}
    for module, file in modules.items():
        folder = file.parent
        # a plug-in of this project has its folder to itself, not the project
        while not module.startswith("bench.") and (folder.parent / "__init__.py").is_file():
            folder = folder.parent
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        constants = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
        parts = (part for text in constants if len(text) < 200 for part in text.replace("\\", "/").split("/"))
        found.setdefault(folder, set()).update(part for part in parts if len(part) > 1)
    return found


def _beneath(folder: Path, whole: bool) -> Iterator[Path]:
    """Files of a package; of a folder that is none, only those directly in it and in folders directly in it."""
    pattern = ("**/*",) if whole else ("*", "*/*")
    seen = 0
    for glob in pattern:
        for path in folder.glob(glob):
            seen += 1
            if seen > MOST:
                return
            hidden = any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
            if not hidden and path.suffix not in NO_DATA and path.is_file():
                yield path


def _named(texts: set[str], parts: tuple[str, ...]) -> bool:
    if any(part in texts or Path(part).stem in texts for part in parts):
        return True
    ends = {text[text.rindex(".") :] for text in texts if "." in text and text.strip("*").startswith(".")}
    return any(parts[-1].endswith(end) for end in ends)


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
