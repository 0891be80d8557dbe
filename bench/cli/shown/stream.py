"""What stands between a verb and the terminal: text of others shown safely, any encoding, and a device that is full."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import click

from bench.errors import BenchError
from bench.visible import visible

OUTPUT = "standard output"


class Shown:
    """A text stream that shows what a terminal would act on, and says in one sentence when it cannot be written."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a letter that the terminal lacks is no reason to stop

    def write(self, text: str) -> int:
        """As a text stream's. Raises BenchError when the device is full or gone."""
        return int(self._tried(self._stream.write, visible(text)))

    def flush(self) -> None:
        """As a text stream's. Raises BenchError when the device is full or gone."""
        self._tried(self._stream.flush)

    def _tried(self, call: Any, *values: str) -> Any:
        try:
            return call(*values)
        except BrokenPipeError:
            raise  # whoever read has seen enough
        except OSError as error:
            raise BenchError(
                f"{self._name} cannot be written ({error.strerror}); give it room or another place."
            ) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Closed(io.TextIOBase):
    """A standard stream that was closed before this process began."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        """Raises BenchError for any text to standard output; what goes to standard error has nowhere to be said."""
        if text and self._name == OUTPUT:
            raise BenchError(f"{self._name} cannot be written (it is closed); give it a place.")
        return len(text)


def tell(line: str) -> None:
    """A line on standard error, as far as anybody listens: a closed pipe or a full device never stops the work."""
    with suppress(OSError, BenchError, ValueError):
        click.echo(line, err=True)


def guard() -> None:
    """Put both standard streams behind `Shown`; bars that move the cursor write to `sys.__stderr__`.

    A number of a standard stream that is closed is taken, or the next file that is opened would get it, and with it
    whatever anybody prints.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.__stderr__ is None:
        sys.__stderr__ = Path(os.devnull).open("w")  # type: ignore[misc]  # noqa: SIM115 - for as long as this process is
    sys.stdout = sys.stdout or cast(TextIO, Closed(OUTPUT))
    sys.stderr = sys.stderr or cast(TextIO, Closed("standard error"))
    sys.stdout = cast(TextIO, Shown(sys.stdout, OUTPUT))
    sys.stderr = cast(TextIO, Shown(sys.stderr, "standard error"))
