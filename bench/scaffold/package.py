"""The user's own package: where its modules lie, and its pyproject.toml with one entry point more.

The file is extended as text, so that comments and order stay, and read back before it is written: what it says must be
what it said before, and the new entry point.
"""

from __future__ import annotations

import copy
import importlib.util
import keyword
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UsageError

#: folders beside a package that are none
ASIDE = ("tests", "test", "docs", "examples", "build", "scripts")


@dataclass(frozen=True)
class Package:
    """A package called `name` in `folder`; `new`: it has to be made. `text`: of `pyproject`, empty without one."""

    name: str
    folder: Path
    new: bool
    pyproject: Path
    text: str

    def with_entry(self, text: str, kind: str, name: str, target: str) -> str:
        """`text` with the entry point `name` of the group `bench.KIND`. Raises UsageError when that cannot be done."""
        before = self.parsed(text)
        head, line = f'[project.entry-points."bench.{kind}"]', f'{name} = "{target}"'
        by_hand = UsageError(
            f"{self.pyproject} states its entry points in a way that cannot be extended here; add {line} under "
            f"{head} by hand, and give `bench new` another folder."
        )
        expected = copy.deepcopy(before)
        points = expected
        for key in ("project", "entry-points", f"bench.{kind}"):
            points = points.setdefault(key, {})
            if not isinstance(points, dict):
                raise by_hand
        if name in points:
            raise UsageError(f"{self.pyproject} names '{name}' among its bench.{kind} already; choose another name.")
        points[name] = target
        if re.search(rf"^{re.escape(head)}[ \t]*$", text, re.MULTILINE):
            longer = re.sub(rf"^{re.escape(head)}[ \t]*$", f"{head}\n{line}", text, count=1, flags=re.MULTILINE)
        else:
            longer = f"{text.rstrip()}\n\n{head}\n{line}\n"
        try:
            fits = tomllib.loads(longer) == expected
        except tomllib.TOMLDecodeError:
            fits = False
        project = before.get("project", {})
        dynamic = project.get("dynamic")
        if not fits or not project or (isinstance(dynamic, list) and "entry-points" in dynamic):
            raise by_hand
        return longer

    def parsed(self, text: str) -> dict[str, Any]:
        """What the file says. Raises UsageError when it is no TOML."""
        try:
            return tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{self.pyproject} cannot be read ({error}); mend it first.") from error


def _taken(name: str) -> bool:
    """Whether a module of this name can be imported, or is loaded already, as `__main__` is."""
    return name in sys.modules or importlib.util.find_spec(name) is not None


def read_package(folder: Path, wanted: str = "") -> Package:
    """The package of a project folder, by name where it has several, or the one to be made. Raises UsageError."""
    pyproject = folder / "pyproject.toml"
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name the folder of your package.")
    try:
        text = pyproject.read_text(encoding="utf-8") if pyproject.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{pyproject} cannot be read ({error}); mend it first.") from error
    source = folder / "src" if (folder / "src").is_dir() or not text else folder
    here = sorted(init.parent for init in source.glob("*/__init__.py") if init.parent.name not in ASIDE)
    names = [path.name for path in here]
    if wanted in names or (not wanted and len(here) == 1):
        found = next(path for path in here if path.name == (wanted or names[0]))
        return Package(found.name, found, False, pyproject, text)
    if len(here) > 1:
        raise UsageError(f"{source} holds several packages; give --package with one of {', '.join(names)}.")
    if wanted and here:
        raise UsageError(f"{source} holds no package '{wanted}', but {names[0]}; give that, or leave --package out.")
    name = wanted or re.sub(r"\W+", "_", folder.resolve().name.lower())
    if not name.isidentifier() or keyword.iskeyword(name) or (not text and _taken(name)):
        raise UsageError(f"'{name}' cannot name a new package: no Python name, or taken; give another --package.")
    return Package(name, source / name, True, pyproject, text)
