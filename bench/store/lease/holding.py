"""A lease that this process has: it renews it, asks whether it is still its own, and writes only inside it."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from bench.errors import LostError, StoreError
from bench.store.lease.files import BEATS, OWNER, PROGRESS
from bench.store.lease.standing import Progress

#: least seconds between two notes of progress
NOTES = 0.5


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
