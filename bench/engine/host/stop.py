"""A process that is told to stop (SIGTERM, SIGHUP, a scheduler's SIGUSR1), or a cell whose time is over: work is kept.

A signal only raises a flag. Training asks after every step and then writes its last whole epoch; attacks ask after
every chunk, which is kept already; whoever waits asks once in a while. A second signal ends the process at once. The
time of a cell is asked about at the same places.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bench.errors import OverdueError, StoppedError

#: the signals that ask a process to end
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_asked: list[int] = []
#: (when it ends, seconds that it was given) of the cell that this process is at
_limits: list[tuple[float, float]] = []


def listen() -> None:
    """From now on these signals raise the flag. Only the main thread can say so; from another nothing is changed."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _note)


def asked() -> bool:
    """Whether this process was told to stop."""
    return bool(_asked)


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Inside it, `check` raises OverdueError once so many seconds are over; None: never."""
    if seconds is not None:
        _limits.append((time.monotonic() + seconds, seconds))
    try:
        yield
    finally:
        _limits.clear()


def check() -> None:
    """Raises StoppedError once this process was told to stop, OverdueError once the time of its cell is over."""
    if _asked:
        raise StoppedError(_asked[0])
    if _limits and time.monotonic() > _limits[0][0]:
        raise OverdueError(_limits[0][1])


def _note(number: int, _frame: FrameType | None) -> None:
    if _asked:
        os._exit(128 + number)
    _asked.append(number)
