"""Who holds a folder, as far as reading can tell; nothing is written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.store.lease.files import OWNER, PROGRESS, TERM, beaten, leases, read_as, room
from bench.store.lease.who import Said, dead


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


def owner(folder: Path) -> Owner | None:
    """Who holds a folder by its newest lease, None when nobody does. Reads only."""
    for path in reversed(leases(folder)):
        try:
            silent = max(0.0, time.time() - beaten(path))
        except OSError:  # given back at this moment
            continue
        place = room(path)
        said = read_as(place / OWNER, Said) or Said()
        return Owner(said, silent, dead(said), read_as(place / PROGRESS, Progress) or Progress())
    return None


def held(folder: Path, term: float = TERM) -> bool:
    """Whether a process works in this folder now, as far as reading can tell."""
    there = owner(folder)
    return there is not None and not there.dead and there.silent <= term
