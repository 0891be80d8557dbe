"""A lease on a folder: one writer at a time, on one host or many, on any file system; nothing asks a kernel for a lock.

A lease is a folder `.lease-N` made inside the folder it is about. Making a folder is atomic everywhere, so of two who
ask one gets it. In it lies a room with a random name, where its owner says who it is and which it renews by touching
`owner.json`. The lease is broken by another only when that beat is older than the term by the file system's clock (two
modification times made on it are compared, never two hosts' clocks), or when its owner is known dead (same host, boot
and process space, and no such process).

Who breaks lease N makes `.lease-N+1` and moves the old one into it. That is a fence: everything an owner writes is
written inside its own room first and renamed from there (`place`), so a process that was stopped past its term and
continued finds its room gone and writes nothing more, whatever it believed.

    take     HeldError when somebody else has it
    check    LostError when it is no longer ours
    release  given back; a lease that was lost is left to its new owner
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.errors import HeldError, LostError, StoreError
from bench.store.parts.files import read

T = TypeVar("T")

#: seconds after which a lease that is not renewed may be broken, and how often it is renewed in that time
TERM, BEATS = 300.0, 10
#: least seconds between two notes of progress
NOTES = 0.5
#: bytes that no file of a lease has
MOST = 2**16
OWNER, PROGRESS = "owner.json", "progress.json"
_NAME, _OVER = re.compile(r"\.lease-(\d+)"), "over"
#: leases of this process by the folder they are about
_HELD: dict[Path, Lease] = {}


class Said(msgspec.Struct, frozen=True):
    """What an owner says of itself in its lease. `space`: see `_space`; `started`: see `_started`; `since`: UTC."""

    host: str = ""
    space: str = ""
    pid: int = 0
    started: str = ""
    job: str = ""
    since: str = ""


class Progress(msgspec.Struct, frozen=True):
    """How far its work is: a stage of a cell, and how many `of` how many of its parts are done."""

    stage: str = ""
    at: int = 0
    of: int = 0


@dataclass(frozen=True)
class Owner:
    """Who holds a lease, as far as reading can tell.

    `silent`: seconds since the last beat by this machine's clock. `dead`: known to be gone. `progress`: see `note`.
    """

    said: Said
    silent: float
    dead: bool
    progress: Progress


class Lease:
    """A lease that this process has taken."""

    def __init__(self, folder: Path, room: Path, term: float) -> None:
        self.folder, self.room, self.term = folder, room, term
        self._lost, self._end = False, threading.Event()
        self._renewed, self._noted = time.monotonic(), -NOTES
        self._thread = threading.Thread(target=self._beat, name=f"lease of {folder.name}", daemon=True)
        self._thread.start()

    def place(self, name: str) -> Path:
        """A path inside the lease to write a file to before it is renamed to where it belongs. Raises LostError."""
        self.check()
        return self.room / f"{name}.{secrets.token_hex(4)}.part"

    def check(self) -> None:
        """Raises LostError when another process has taken over."""
        if not self._lost and time.monotonic() - self._renewed > self.term:
            self.renew()  # this process was stopped for long: its lease may be another's by now
        if self._lost or not self.room.exists():
            self._lost = True
            if not self.folder.is_dir():
                raise StoreError(f"{self.folder} is gone, removed or unmounted while it was worked on.")
            raise LostError(
                f"the lease of {self.folder} ran out and another process goes on with it; nothing more is written here."
            )

    def renew(self) -> None:
        """One beat. A beat that finds the lease gone marks it as lost."""
        try:
            os.utime(self.room / OWNER)  # without times: the file system's own clock
            self._renewed = time.monotonic()
        except FileNotFoundError:
            self._lost = True
        except OSError:  # the file system is away for a moment: the term decides
            pass

    def note(self, stage: str, at: int, of: int) -> None:
        """Say where the work is, for `bench status`, once in a while. Never raises: to tell is not the work."""
        if time.monotonic() - self._noted < NOTES:
            return
        self._noted = time.monotonic()
        with suppress(OSError, StoreError):
            place = self.place(PROGRESS)
            place.write_bytes(msgspec.json.encode(Progress(stage, at, of)))
            place.replace(self.room / PROGRESS)

    def release(self) -> None:
        """Give it back."""
        self._end.set()
        if not self._lost and self.room.exists():
            shutil.rmtree(self.room.parent, ignore_errors=True)

    def _beat(self) -> None:
        while not self._end.wait(self.term / BEATS) and not self._lost:
            self.renew()


@contextmanager
def leased(folder: Path, term: float = TERM) -> Iterator[Lease]:
    """Hold the lease of a folder, which is made if need be. Raises HeldError at once when another has it."""
    lease = take(folder, term)
    _HELD[lease.folder] = lease
    try:
        yield lease
    finally:
        _HELD.pop(lease.folder, None)
        lease.release()


def over(path: Path) -> Lease | None:
    """The lease of this process that a path lies under, None when there is none."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - links are kept as they are named
    return next((lease for parent in whole.parents if (lease := _HELD.get(parent)) is not None), None)


def take(folder: Path, term: float = TERM) -> Lease:
    """Take the lease. Raises HeldError when another process has it, StoreError when the folder cannot be written."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = leases(folder)
        for old in found:
            _must_be_over(old, term)
        return _make(folder, found, term)
    except FileExistsError as error:
        raise _held(folder, Said()) from error
    except OSError as error:
        raise StoreError(f"{folder} cannot be leased: {error.strerror or error}; choose a writable folder.") from error


def leases(folder: Path) -> list[Path]:
    """Every lease in a folder, the oldest first; more than one only while one is taken over."""
    try:
        names = [entry.name for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]
    except OSError:
        return []
    return [folder / name for name in sorted(names, key=_number)]


def owner(folder: Path) -> Owner | None:
    """Who holds a folder by its newest lease, None when nobody does. Reads only."""
    for path in reversed(leases(folder)):
        try:
            silent = max(0.0, time.time() - _beaten(path))
        except OSError:  # given back at this moment
            continue
        room = _room(path)
        said = _read(room / OWNER, Said) or Said()
        return Owner(said, silent, _dead(said), _read(room / PROGRESS, Progress) or Progress())
    return None


def held(folder: Path, term: float = TERM) -> bool:
    """Whether a process works in this folder now, as far as reading can tell."""
    there = owner(folder)
    return there is not None and not there.dead and there.silent <= term


def sweep(folder: Path, term: float = TERM) -> None:
    """Clear away what a killed process left of its lease; a lease that is alive stays."""
    if leases(folder):
        with suppress(HeldError):
            take(folder, term).release()


# ------------------------------------------------------------------------------------------------ how it is taken


def _make(folder: Path, old: list[Path], term: float) -> Lease:
    """Make the next lease and move what is over into it. Raises FileExistsError, or HeldError, when another did."""
    path = folder / f".lease-{_number(old[-1].name) + 1 if old else 1}"
    path.mkdir()
    room = path / secrets.token_hex(8)
    try:
        room.mkdir()
        (room / OWNER).write_bytes(msgspec.json.encode(_self()))
        for one in old:
            one.replace(path / f"{_OVER}{one.name}")
        if any(_number(other.name) > _number(path.name) for other in leases(folder)):
            raise FileExistsError  # it was taken over and is held since this process looked
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, FileNotFoundError):  # given back or taken over since this process looked
            raise FileExistsError from error
        raise
    for one in old:
        shutil.rmtree(path / f"{_OVER}{one.name}", ignore_errors=True)
    return Lease(folder, room, term)


def _must_be_over(path: Path, term: float) -> None:
    """Raises HeldError unless the owner of a lease is dead or has been silent for the term."""
    said = _read(_room(path) / OWNER, Said) or Said()
    if _dead(said):
        return
    try:
        beaten, now = _beaten(path), _now(path)
    except FileNotFoundError:  # given back at this moment: who asks again finds it free
        raise _held(path.parent, said) from None
    if now - beaten <= term:
        raise _held(path.parent, said)


def _held(folder: Path, said: Said) -> HeldError:
    who = f"process {said.pid} on {said.host}" if said.host else "another process"
    return HeldError(f"{folder} is being worked on by {who}; wait for it or stop it.")


def _beaten(path: Path) -> float:
    """Time of a lease's last beat by the file system's clock: of its owner's file, or of its making without one."""
    try:
        return (_room(path) / OWNER).stat().st_mtime
    except FileNotFoundError:
        return path.stat().st_mtime


def _now(path: Path) -> float:
    """The file system's clock, asked inside a lease so that nothing is left behind when this process is killed."""
    with tempfile.NamedTemporaryFile(dir=path, prefix=f"{_OVER}-", suffix=".part") as probe:
        os.utime(probe.name)
        return Path(probe.name).stat().st_mtime


def _self() -> Said:
    own = os.getpid()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Said(socket.gethostname(), _space(), own, _started(own), os.environ.get("SLURM_JOB_ID", ""), since)


def _dead(said: Said) -> bool:
    """Whether an owner of this very host and process space is no more; False where that cannot be known."""
    here = said.space != "" and (said.host, said.space) == (socket.gethostname(), _space())
    return here and _started(said.pid) != said.started


def _space() -> str:
    """What tells process numbers of one boot and one container from those of others; empty where it is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty for one that is no more (a zombie is no more)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""


def _read(path: Path, kind: type[T]) -> T | None:
    """A small JSON file as what it should be, None where it is absent or is something else."""
    try:
        return msgspec.json.decode(read(path, MOST), type=kind)
    except (OSError, StoreError, msgspec.DecodeError, RecursionError):
        return None


def _room(path: Path) -> Path:
    """The room of a lease's owner; the lease itself while it has none."""
    try:
        names = sorted(e.name for e in os.scandir(path) if not e.name.startswith(_OVER))
    except OSError:
        names = []
    return path / names[0] if names else path


def _number(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0
