"""A network from a function of the user: found, told the number of classes where it asks, and called.

Everything that its code may do wrong ends as one sentence in its own words.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from bench.errors import ModelError, in_words
from bench.seeding import isolated

#: what a factory may call the number of classes
CLASSES_NAMES = ("num_classes", "n_classes", "nb_classes", "num_class", "classes")
#: what the code of a user may raise: anything but a wish of whoever sits there to stop
ANYTHING = (Exception, SystemExit, GeneratorExit)


class Made(NamedTuple):
    """A network, and how it came about: `mine:make(num_classes=10) of /home/me/mine.py`."""

    network: nn.Module
    called: str


def call_factory(text: str, num_classes: int) -> Made:
    """The network that `package.module:factory` returns, called as `arguments` says; or one that is there already.

    Raises ModelError when it cannot be imported or called, or returns no network. Draws of the factory stay its own.
    """
    module_name, _, name = text.partition(":")
    with chdir(Path.cwd()):  # whatever its code calls the current folder: results are written where they were meant
        return _called(text, module_name, name, num_classes)


def _called(text: str, module_name: str, name: str, num_classes: int) -> Made:
    with isolated(0, "import"):  # of its own: whether the module was imported before must not move the factory's draws
        try:
            module = importlib.import_module(module_name)
        except ANYTHING as error:  # a script of the user may do anything when it is imported
            raise ModelError(
                f"'{text}' cannot be imported: {in_words(error, ImportError)}; start bench where "
                f"`import {module_name}` works."
            ) from error
    factory = getattr(module, name, None)
    if factory is None:
        raise ModelError(f"'{text}' cannot be imported: {_place(module_name)} has no '{name}'.")
    if isinstance(factory, nn.Module):
        return Made(factory, f"{text} as it is, of {_place(module_name)}")
    given, named = arguments(factory, num_classes, text)
    said = f"{text}({', '.join([*map(str, given), *(f'{key}={value}' for key, value in named.items())])})"
    with isolated(0, "init"):
        try:
            network = factory(*given, **named)
        except ANYTHING as error:  # code of the user: anything, and its own words say best what
            raise ModelError(f"'{text}' failed: {in_words(error)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"'{text}' returned {type(network).__name__}, not a torch.nn.Module.")
    return Made(network, f"{said} of {_place(module_name)}")


def _place(module_name: str) -> str:
    return str(getattr(sys.modules.get(module_name), "__file__", None) or module_name)


def arguments(factory: Callable[..., Any], num_classes: int, text: str) -> tuple[tuple[int, ...], dict[str, int]]:
    """(positional, by keyword): how a factory is told the number of classes.

    By keyword where its signature has one of `CLASSES_NAMES`; else as its one required parameter; else not at all: a
    first parameter with a default may be a depth or an epoch. Raises ModelError when it requires anything else, or is
    no function of Python, which alone can return a network.
    """
    if not callable(factory) or inspect.isbuiltin(factory):
        kind = "a function written in C" if callable(factory) else f"{type(factory).__name__}, not a function"
        raise ModelError(f"'{text}' is {kind}; name a function or a class of yours that gives a torch.nn.Module.")
    try:
        known = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # written in C: it tells nothing
        return (num_classes,), {}
    name = next((n for n in CLASSES_NAMES if n in known), None)
    if name is not None and known[name].kind is inspect.Parameter.POSITIONAL_ONLY:
        name = None
    named = {} if name is None else {name: num_classes}
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in known.values() if p.default is p.empty and p.kind not in variadic and p.name != name]
    if not required:
        return (), named
    if named or len(required) > 1 or required[0].kind is inspect.Parameter.KEYWORD_ONLY:
        lacking = ", ".join(p.name for p in required)
        raise ModelError(
            f"'{text}' requires {lacking}, which bench cannot know; give a factory that requires at most the number of "
            "classes."
        )
    return (num_classes,), {}
