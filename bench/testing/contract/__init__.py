"""What every plug-in keeps, whoever wrote it: the checks that the project's own tests run, for anybody's class.

`python -m bench.testing contract NAME|module:Class` runs them. One module a kind (`methods`, `attacks`, ...) whose
`BASE` is the class to subclass and whose `checks(target)` names each check and the function that makes it; a new kind
is a new module of the kind's name. A check that does not hold raises `BrokenError` with one sentence.
"""

from __future__ import annotations

import importlib
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.errors import BenchError, UsageError, did_you_mean
from bench.registry import FOLDERS, registry
from bench.seeding import global_states

HERE = Path(__file__).parent


class BrokenError(Exception):
    """A check does not hold; its text is the sentence that says so."""


def require(holds: object, sentence: str) -> None:
    """Raise BrokenError with `sentence` unless `holds`."""
    if not holds:
        raise BrokenError(sentence)


@dataclass(frozen=True)
class Target:
    """What is checked: a class of a kind, by its full name (`timm:NAME` with what stands behind the colon)."""

    kind: str
    name: str
    cls: type[Any]


@dataclass(frozen=True)
class Check:
    """One check of one plug-in; calling it raises BrokenError when it does not hold."""

    target: Target
    name: str
    action: Callable[[], None]

    def __call__(self) -> None:
        """Run it. A global random generator that moved, a warning and any other error break the contract too."""
        before = global_states()
        try:
            with warnings.catch_warnings(), registered(self.target):
                warnings.simplefilter("error")
                self.action()
        except BrokenError:
            raise
        except Exception as error:  # a plug-in is anybody's code
            raise BrokenError(_where(error)) from error
        finally:
            moved = [name for name, state in global_states().items() if before.get(name, state) != state]
        require(not moved, f"the global random generator of {', '.join(moved)} moved; draw from the given noise.")

    def __str__(self) -> str:
        return f"{self.target.name} {self.name}"


def kinds() -> list[str]:
    """The kinds of plug-ins that have a contract."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem in FOLDERS)


def find(text: str) -> Target:
    """The plug-in called NAME, NAME:ARGUMENT or kind/NAME, or the class at module:Class. Raises UsageError."""
    kind, slash, rest = text.partition("/")
    if slash and kind in kinds():
        return Target(kind, rest, registry(kind).get(rest))
    base = text.partition(":")[0]
    having = [kind for kind in kinds() if base in registry(kind).origins]
    if len(having) > 1:
        raise UsageError(f"'{base}' is one of the {' and of the '.join(having)}; write {having[0]}/{text}.")
    if having:
        return Target(having[0], text, registry(having[0]).get(text))
    module, colon, attribute = text.partition(":")
    if not colon:
        known = sorted(name for kind in kinds() for name in registry(kind).names())
        raise UsageError(f"unknown plug-in '{text}'; write a name or module:Class. {did_you_mean(text, known)}")
    return _from_module(module, attribute)


def _from_module(module: str, attribute: str) -> Target:
    """The class `attribute` of `module`, which need not be registered. Raises UsageError."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # behind everything installed, which it must not shadow
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except BenchError:
        raise
    except Exception as error:  # anybody's code
        raise UsageError(f"'{module}:{attribute}' cannot be imported: {_where(error)}") from error
    kind = getattr(cls, "registered_as", None)
    if not isinstance(cls, type) or kind not in kinds():
        raise UsageError(f"'{module}:{attribute}' is no plug-in; write @register of {', '.join(kinds())}.")
    return Target(kind, getattr(cls, "name", attribute), cls)


def checks(target: Target) -> list[Check]:
    """Every check of a plug-in's kind, in order."""
    module = importlib.import_module(f"{__name__}.{target.kind}")
    cls, base = target.cls.__name__, module.BASE.__name__
    if not issubclass(target.cls, module.BASE):
        return [Check(target, "describes itself", partial(require, False, f"{cls} is no subclass of {base}."))]
    return [Check(target, name, action) for name, action in module.checks(target)]


def contract(kind: str) -> list[Check]:
    """Every check of every plug-in of a kind that is registered."""
    return [check for name in registry(kind).names() for check in checks(Target(kind, name, registry(kind).get(name)))]


def report(target: Target) -> Iterator[tuple[str, bool]]:
    """(line, whether it holds) a check."""
    for check in checks(target):
        try:
            check()
        except BrokenError as broken:
            yield f"BROKEN  {check}: {broken}", False
        else:
            yield f"holds   {check}", True


@contextmanager
def registered(target: Target) -> Iterator[None]:
    """Inside, the class can be found by its name, as if its package were installed."""
    known, base = registry(target.kind), target.name.partition(":")[0]
    added = base not in known.origins
    if added:
        known.add(base, target.cls)
    try:
        yield
    finally:
        if added:
            known.discard(base)


def _where(error: Exception) -> str:
    """An error of anybody's code as one sentence: what, and the last line of the code that raised it."""
    text = " ".join(str(error).split()) or "no message"
    frames = traceback.extract_tb(error.__traceback__)
    last = next((f for f in reversed(frames) if "site-packages" not in f.filename), frames[-1])
    return f"{type(error).__name__}: {text.rstrip('.')} ({Path(last.filename).name}, line {last.lineno})."
