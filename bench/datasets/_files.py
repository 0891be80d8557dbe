"""Where data lie on disk, and how damaged or missing files are named."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bench.api import DataError, cache_folder, in_full

_CHUNK = 1 << 20


def data_root(given: Path | None) -> Path:
    """The data folder: the one given, else the environment variable BENCH_DATA, else bench in the user's cache."""
    return in_full(given or os.environ.get("BENCH_DATA") or cache_folder() / "bench")


def offline() -> bool:
    """Whether BENCH_OFFLINE forbids downloads."""
    return os.environ.get("BENCH_OFFLINE", "").lower() not in ("", "0", "false", "no")


def md5(path: Path) -> str:
    """Hex MD5 of a file, read in pieces. Raises DataError when it may not be read."""
    total = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                total.update(piece)
    except OSError as error:
        raise unreadable(path, error) from None
    return total.hexdigest()


def damaged(path: Path, why: str, mend: str) -> DataError:
    """The error about a damaged file. It stays where it is: who reads a file that others made never renames it."""
    return DataError(f"{path} is damaged ({why}); {mend}.")


def unreadable(path: Path, error: OSError) -> DataError:
    """The error about a file that is there and cannot be opened: it may be as sound as any."""
    return DataError(f"{path} cannot be opened ({(error.strerror or str(error)).lower()}); give yourself access to it.")


def missing(name: str, path: Path, fetchable: bool = True) -> DataError:
    """The error for a data set whose file is not there."""
    how = f"run `bench fetch {name}` or place it there by hand" if fetchable else "place it there"
    return DataError(f"data set '{name}' is not here: {path} does not exist; {how} (--data-root names another folder).")
