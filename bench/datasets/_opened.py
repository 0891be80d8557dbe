"""Which files somebody's code reads: the only way to know the data behind a function that may do anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

#: where those that are opened now are noted; None while nobody watches
_SEEN: list[set[Path] | None] = [None]


@contextmanager
def watching() -> Iterator[set[Path]]:
    """Inside, the set given gains every file that Python opens for reading, but those of installed packages and code.

    What a library opens by itself in C is not seen.
    """
    _listen()
    before, seen = _SEEN[0], set[Path]()
    _SEEN[0] = seen
    try:
        yield seen
    finally:
        _SEEN[0] = before


@cache
def _listen() -> None:
    """Once a process: such a hook stays for ever."""
    sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    seen = _SEEN[0]
    if seen is None or event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    if int(arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        return
    path, others = Path(os.fsdecode(arguments[0])).absolute(), (sys.prefix, sys.base_prefix, "/proc/", "/dev/")
    if path.suffix not in (".py", ".pyc") and not str(path).startswith(others):
        seen.add(path)
