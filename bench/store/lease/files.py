"""How a lease lies on a disk: its name, its owner's room in it, when that was renewed, and the file system's clock."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.errors import StoreError
from bench.store.parts.files import read

T = TypeVar("T")

#: seconds after which a lease that is not renewed may be broken, and how often it is renewed in that time
TERM, BEATS = 300.0, 10
#: bytes that no file of a lease has
MOST = 2**16
OWNER, PROGRESS = "owner.json", "progress.json"
#: beginning of the names of what is over, within a lease
OVER = "over"
_NAME = re.compile(r"\.lease-(\d+)")


def leases(folder: Path) -> list[Path]:
    """Every lease in a folder, the oldest first; more than one only while one is taken over."""
    try:
        names = [entry.name for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]
    except OSError:
        return []
    return [folder / name for name in sorted(names, key=number)]


def number(name: str) -> int:
    """Which lease of its folder it is by its name, from 1; 0 for another name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def room(path: Path) -> Path:
    """The room of a lease's owner; the lease itself while it has none."""
    try:
        names = sorted(e.name for e in os.scandir(path) if not e.name.startswith(OVER))
    except OSError:
        names = []
    return path / names[0] if names else path


def beaten(path: Path) -> float:
    """Time of a lease's last beat by the file system's clock: of its owner's file, or of its making without one."""
    try:
        return (room(path) / OWNER).stat().st_mtime
    except FileNotFoundError:
        return path.stat().st_mtime


def now(path: Path) -> float:
    """The file system's clock, asked inside a lease so that nothing is left behind when this process is killed."""
    with tempfile.NamedTemporaryFile(dir=path, prefix=f"{OVER}-", suffix=".part") as probe:
        os.utime(probe.name)
        return Path(probe.name).stat().st_mtime


def read_as(path: Path, kind: type[T]) -> T | None:
    """A small JSON file as what it should be, None where it is absent or is something else."""
    try:
        return msgspec.json.decode(read(path, MOST), type=kind)
    except (OSError, StoreError, msgspec.DecodeError, RecursionError):
        return None
