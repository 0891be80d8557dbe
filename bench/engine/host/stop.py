"""A process that is told to stop (SIGTERM, SIGHUP, a scheduler's SIGUSR1 or SIGUSR2), a cell or run whose time is over.

Work is kept: a signal only raises a flag. Training asks after every step and then writes its last whole epoch; attacks
ask after every chunk, which is kept already; whoever waits asks once in a while. Time is asked about at the same
places.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from bench.errors import OverdueError, SpentError, StoppedError

#: the signals that ask a process to end
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_asked: list[int] = []
#: (when it ends, seconds that it was given, what is raised then): of the run, then of the cell that this process is at
_limits: list[tuple[float, float, type[OverdueError | SpentError]]] = []


def listen(signals: Sequence[signal.Signals] = SIGNALS, *, patient: bool = False) -> None:
    """From now on these signals raise the flag. Only the main thread can say so; from another nothing is changed.

    A second signal ends the process at once, unless it is `patient`: a scheduler signals a whole job, so a process
    whose parent or scheduler kills it in time is told twice by those who mean once.
    """
    if threading.current_thread() is threading.main_thread():
        for number in signals:
            signal.signal(number, _note if patient else _insist)


def told(code: int) -> int | None:
    """The signal for which a process with this exit code (below 0: killed by it) ended, if it was told to stop."""
    number = -code if code < 0 else code - 128
    return number if number in SIGNALS else None


def asked() -> bool:
    """Whether this process was told to stop."""
    return bool(_asked)


@contextmanager
def within(seconds: float | None, error: type[OverdueError | SpentError] = OverdueError) -> Iterator[None]:
    """Inside it, `check` raises `error` once so many seconds are over; None: never. One may lie in another."""
    outside = len(_limits)
    if seconds is not None:
        _limits.append((time.monotonic() + seconds, seconds, error))
    try:
        yield
    finally:
        del _limits[outside:]


def check() -> None:
    """Raises StoppedError once this process was told to stop, or what `within` says once a time is over."""
    if _asked:
        raise StoppedError(_asked[0])
    for end, seconds, error in _limits:
        if time.monotonic() > end:
            raise error(seconds)


def _note(number: int, _frame: FrameType | None) -> None:
    if not _asked:
        _asked.append(number)


def _insist(number: int, frame: FrameType | None) -> None:
    if _asked:
        os._exit(128 + number)
    _note(number, frame)
