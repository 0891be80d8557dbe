"""What stands between a verb and the terminal: text of others shown safely, any encoding, and a device that is full."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import click

from bench.errors import BenchError
from bench.visible import visible


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


def tell(line: str) -> None:
    """A line on standard error, as far as anybody listens: a closed pipe or a full device never stops the work."""
    with suppress(OSError, BenchError, ValueError):
        click.echo(line, err=True)


def guard() -> None:
    """Put both standard streams behind `Shown`; bars that move the cursor write to `sys.__stderr__`."""
    sys.stdout = cast(TextIO, Shown(sys.stdout, "standard output"))
    sys.stderr = cast(TextIO, Shown(sys.stderr, "standard error"))
