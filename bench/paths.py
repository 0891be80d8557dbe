"""Paths as users write them: `~` expanded, and whatever cannot be a path here said in one sentence."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from bench.errors import UsageError


def in_full(path: str | Path) -> Path:
    """The path with `~` expanded. Raises UsageError for a home that is not known and for what no file can be called."""
    if not str(path).strip():
        raise UsageError("an empty path names nothing; give one, or leave it out.")
    try:
        whole = Path(path).expanduser()
        str(whole).encode()  # what is no UTF-8 could not be written into any record
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(whole)  # what no file can be called is an error of its own
    except RuntimeError:  # a user without a home, or a user that is not here
        raise UsageError(f"'{path}' begins with ~, and no such home folder is known; write the path in full.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"'{_short(str(path))}' cannot be used as a path ({why}); give another.") from None
    return whole


def cache_folder() -> Path:
    """Where this user's caches lie: XDG_CACHE_HOME, else `.cache` at home, or here where the user has no home."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return in_full(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # as in a container under a user number of its own
        return Path(".cache")


def data_folder(given: Path | None) -> Path:
    """Where what is fetched lies: the folder given, else BENCH_DATA, else `bench` in the user's caches."""
    return in_full(given or os.environ.get("BENCH_DATA") or cache_folder() / "bench")


def offline() -> bool:
    """Whether BENCH_OFFLINE forbids to ask a network for anything."""
    return os.environ.get("BENCH_OFFLINE", "").lower() not in ("", "0", "false", "no")


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:40]}...{text[-20:]}"
