"""A process that is told to stop (SIGTERM, SIGHUP, a scheduler's SIGUSR1): its work is kept, then it ends.

A signal only raises a flag. Training asks after every step and then writes its last whole epoch; attacks ask after
every chunk, which is kept already; whoever waits asks once in a while. A second signal ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from bench.errors import StoppedError

#: the signals that ask a process to end
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_asked: list[int] = []


def listen() -> None:
    """From now on these signals raise the flag. Only the main thread can say so; from another nothing is changed."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _note)


def asked() -> bool:
    """Whether this process was told to stop."""
    return bool(_asked)


def check() -> None:
    """Raises StoppedError once this process was told to stop."""
    if _asked:
        raise StoppedError(_asked[0])


def _note(number: int, _frame: FrameType | None) -> None:
    if _asked:
        os._exit(128 + number)
    _asked.append(number)
