"""Files of a results folder as they may be met: of any kind, size and content, read in bounded time and memory.

A store may come from anybody. Only regular files are opened, so no pipe makes a reader wait; nothing is read that is
larger than anything this program writes; an array is read only where its header fits what is there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from pathlib import Path
from typing import Any

from bench.errors import StoreError, UnreadableError

#: bytes that no text file of a cell has
LARGEST = 2**27


def mark(content: bytes) -> str:
    """16 hex digits of what a file holds."""
    return hashlib.sha256(content).hexdigest()[:16]


def read(path: Path, largest: int = LARGEST) -> bytes:
    """The content of a regular file.

    Raises FileNotFoundError, UnreadableError, or StoreError for what is no file, too large, or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} cannot be read (it is no regular file); move it away or restore it.")
        if found.st_size > largest:
            raise StoreError(
                f"{path} cannot be read (it has {found.st_size} bytes, {largest} at most are read); move it away or "
                "restore it."
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise UnreadableError.of(path) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror or error}); restore it or move it away.") from error


def unwritable(what: str, error: OSError) -> StoreError:
    """The one sentence for what could not be written, with the mend."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    mend = "free some space and run the same command again" if full else "choose a writable folder"
    return StoreError(f"{what}: {error.strerror or error}; {mend}.")


def read_json(path: Path) -> Any:
    """What a JSON file says. Raises as `read`, and StoreError for what is no JSON or nested too deeply."""
    try:
        return json.loads(read(path).decode("utf-8"), parse_constant=_no_number)
    except RecursionError as error:
        raise StoreError(f"{path} cannot be read (it is nested too deeply); set it aside or restore it.") from error
    except ValueError as error:
        raise StoreError(f"{path} cannot be read ({error}); set it aside or restore it.") from error


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")
