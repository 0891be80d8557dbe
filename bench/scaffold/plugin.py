"""`bench new`: which files a new plug-in is made of, and where they go; everything is planned before a file is written.

In a checkout of this project a plug-in is one file in the folder of its kind, which the contract tests find. Anywhere
else it is a module of a package, with a test of its own and an entry point (`bench.scaffold.package`).
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from bench.errors import UsageError, did_you_mean
from bench.registry import registry
from bench.scaffold.package import Package, read_package
from bench.store.folders import atomic_write

#: word on the command line -> (kind of plug-in, its folder in this repository)
KINDS = {
    "method": ("methods", "methods"),
    "enhancer": ("enhancers", "bench/enhancers"),
    "dataset": ("datasets", "bench/datasets"),
    "attack": ("attacks", "bench/attacks"),
    "model": ("models", "bench/models"),
    "table": ("tables", "reports/tables"),
}
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 30


@dataclass(frozen=True)
class Plan:
    """What will be written: `fresh` files that must not exist yet, `edited` ones that are replaced whole.

    `target`: what `python -m bench.testing contract` is told. `package`: None in this repository.
    """

    fresh: dict[Path, str]
    edited: dict[Path, str]
    target: str
    package: Package | None


def plan(word: str, name: str, folder: Path, package: str = "") -> Plan:
    """The files of a new plug-in called `name` under `folder`. Raises UsageError and writes nothing."""
    if word not in KINDS:
        raise UsageError(f"unknown kind of plug-in '{word}'. {did_you_mean(word, KINDS)}")
    kind, home = KINDS[word]
    _check(word, name)
    module, cls = name.replace("-", "_"), "".join(part.capitalize() for part in name.split("-"))
    words = {"name": name, "cls": cls, "title": name.replace("-", " ").capitalize(), "kind": kind, "word": word}
    code = render(f"{word}.py.j2", words)
    if (folder / "bench" / "api.py").is_file():
        if package:
            raise UsageError(f"{folder} is a checkout of this project, where --package says nothing; leave it out.")
        made = Plan({folder / home / f"{module}.py": code}, {}, name, None)
    else:
        into = read_package(folder, package)
        target = f"{into.name}.{module}:{cls}"
        test = render("test.py.j2", words | {"target": target})
        fresh = {into.folder / f"{module}.py": code, folder / "tests" / f"test_{module}.py": test}
        fresh |= {into.folder / "__init__.py": '"""Plug-ins of bench."""\n'} if into.new else {}
        own = into.text or render("pyproject.toml.j2", {"name": into.name.replace("_", "-"), "package": into.name})
        made = Plan(fresh, {into.pyproject: into.with_entry(own, kind, name, target)}, target, into)
    for path in made.fresh:
        if path.exists():
            raise UsageError(f"{path} exists already and nothing is overwritten; choose another name for the {word}.")
    return made


def write(made: Plan) -> list[Path]:
    """Write what was planned, the list of entry points last. Returns the files. Raises UsageError, StoreError."""
    for path, text in made.fresh.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror}); choose a folder that can.") from error
    for path, text in made.edited.items():
        atomic_write(path, text.encode())
    return [*made.fresh, *made.edited]


def render(template: str, words: dict[str, str]) -> str:
    """A template of this package filled in."""
    text = files("bench.scaffold").joinpath("templates", template).read_text(encoding="utf-8")
    return Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(text).render(words)


def _check(word: str, name: str) -> None:
    """A name that can be a file, a word on the command line and a class, and that nobody has. Raises UsageError."""
    if not NAME.fullmatch(name) or len(name) > LONGEST or keyword.iskeyword(name.replace("-", "_")):
        raise UsageError(
            f"'{name}' cannot name a {word}; use at most {LONGEST} lower-case letters and digits, words joined by '-', "
            "beginning with a letter, such as my-trades."
        )
    known = registry(KINDS[word][0]).origins
    if name in known:
        raise UsageError(f"a {word} called '{name}' exists already ({known[name].file}); choose another name.")
