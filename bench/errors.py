"""Everything a user can mend is a `BenchError`: one clear sentence, an exit code, no traceback.

BenchError           exit 1   something failed that the message says how to mend
+- UsageError        exit 2   the command line or a call was wrong: value, what was expected, the mend
+- DataError         exit 1   a data set is missing, damaged or of the wrong shape
+- StoreError        exit 1   a results folder cannot be read, written or understood
|  +- NewerSchemaError        it was written by a newer version; never taken for damaged
|  +- HeldError               another process is working in a cell's folder
|     +- LostError            it took over from this one, whose lease had run out
|  +- StaleError              a cell was made from other code or data than there is now
|  +- UnreadableError         a file is there but may not be read; never taken for damaged
+- DeviceError       exit 1   a device was asked for and is absent
+- ModelError        exit 1   a network cannot be built, loaded or attacked
+- TrainingError     exit 1   a loss became NaN or infinite; carries where
+- OverdueError      exit 1   a cell took longer than it may; what it has is kept
+- StoppedError      exit 128 + the signal's number (143 for SIGTERM): told to stop; what was done is kept
   +- SpentError     exit 124, as `timeout` has it: the time of a whole run is over; what was done is kept
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable
from pathlib import Path


class BenchError(Exception):
    """Base of every error with a mend. `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(BenchError):
    """A value given by the user is not one of those that are possible."""

    exit_code = 2


class DataError(BenchError):
    """Images or labels are missing, damaged, or not of the declared shape, type or range."""


class StoreError(BenchError):
    """A results folder is unreadable, unwritable, locked, or written by a newer schema."""


class NewerSchemaError(StoreError):
    """A results folder was written by a newer version of this program; it is never set aside or written to."""


class UnreadableError(StoreError):
    """A file may not be read by this user: it is neither damaged nor absent, and nothing takes its place."""

    @classmethod
    def of(cls, path: Path) -> UnreadableError:
        """The error about one file."""
        return cls(f"{path} may not be read (permission denied); give yourself the permission, as with chmod u+r.")


class HeldError(StoreError):
    """A cell's folder is held by another process, or what the cell goes on from is not made yet; that is no failure."""


class StaleError(StoreError):
    """A cell was made from other code or data than there is now; it is neither continued nor marked as failed."""


class LostError(HeldError):
    """The lease of a cell's folder ran out and another process goes on; this one writes nothing more."""


class DeviceError(BenchError):
    """The device asked for does not exist here."""


class ModelError(BenchError):
    """A network cannot be built, loaded, or does not map N x channels x H x W to N x classes."""


class TrainingError(BenchError):
    """Training cannot go on (a loss that is NaN or infinite)."""


class OverdueError(BenchError):
    """A cell took longer than its limit; it has failed, and goes on from what it has when it is tried again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"it took longer than the {seconds:g} s of --cell-limit; what is finished is kept, and the same command "
            "goes on from there."
        )


class StoppedError(BenchError):
    """A signal told this process to stop; what it was at is interrupted, not failed, and goes on next time."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(number).name}; what was finished is stored, and the same command goes on from "
            "the last checkpoint."
        )
        self.exit_code = 128 + number


class SpentError(StoppedError):
    """The time that was given to a whole run is over; what it was at goes on next time."""

    def __init__(self, seconds: float) -> None:
        BenchError.__init__(
            self,
            f"the {seconds:g} s of --run-limit are over; what was finished is stored, and the same command goes on "
            "from the last checkpoint.",
        )
        self.exit_code = 124


#: letters of somebody else's message that are quoted whole
LONGEST = 400


def in_words(error: BaseException, *plain: type[BaseException]) -> str:
    """What an error of anybody's code says, on one line; its type before it, unless it is a BenchError or `plain`."""
    text = " ".join(str(error).split()).partition(" Hint: ")[0]
    if len(text) > LONGEST:  # torch explains itself over pages; its first sentence says what
        first = text[:LONGEST].partition(". ")
        text = f"{first[0]}." if first[1] else f"{first[0]} ..."
    return text if text and isinstance(error, (BenchError, *plain)) else f"{type(error).__name__}: {text}".strip(": ")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` when one known name is close, else a list of all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'? Known: {', '.join(names)}."
    return f"Known: {', '.join(names)}." if names else "None is known."
