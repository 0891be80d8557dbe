"""How a lease is taken: a folder is made, or one broken whose owner is dead or has been silent for the term."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from bench.errors import HeldError
from bench.store.lease.files import OVER, OWNER, TERM, beaten, leases, now, number, read_as, room
from bench.store.lease.holding import Lease
from bench.store.lease.who import Said, dead, myself
from bench.store.parts.files import unwritable

#: leases of this process by the folder they are about
_HELD: dict[Path, Lease] = {}


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
        raise unwritable(f"{folder} cannot be leased", error) from error


def sweep(folder: Path, term: float = TERM) -> None:
    """Clear away what a killed process left of its lease; a lease that is alive stays."""
    if leases(folder):
        with suppress(HeldError):
            take(folder, term).release()


def _make(folder: Path, old: list[Path], term: float) -> Lease:
    """Make the next lease and move what is over into it. Raises FileExistsError, or HeldError, when another did."""
    path = folder / f".lease-{number(old[-1].name) + 1 if old else 1}"
    path.mkdir()
    place = path / secrets.token_hex(8)
    try:
        place.mkdir()
        (place / OWNER).write_bytes(msgspec.json.encode(myself()))
        for one in old:
            one.replace(path / f"{OVER}{one.name}")
        if any(number(other.name) > number(path.name) for other in leases(folder)):
            raise FileExistsError  # it was taken over and is held since this process looked
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, FileNotFoundError):  # given back or taken over since this process looked
            raise FileExistsError from error
        raise
    for one in old:
        shutil.rmtree(path / f"{OVER}{one.name}", ignore_errors=True)
    return Lease(folder, place, term)


def _must_be_over(path: Path, term: float) -> None:
    """Raises HeldError unless the owner of a lease is dead or has been silent for the term."""
    said = read_as(room(path) / OWNER, Said) or Said()
    if dead(said):
        return
    try:
        last, at = beaten(path), now(path)
    except FileNotFoundError:  # given back at this moment: who asks again finds it free
        raise _held(path.parent, said) from None
    if at - last <= term:
        raise _held(path.parent, said)


def _held(folder: Path, said: Said) -> HeldError:
    who = f"process {said.pid} on {said.host}" if said.host else "another process"
    return HeldError(f"{folder} is being worked on by {who}; wait for it or stop it.")
