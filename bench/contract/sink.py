"""The contract of a sink: what a run tells while it goes on, for a tracking program of the user's choice.

A sink only listens, in the process that was started by hand. Nothing it does or fails to do reaches a cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class Sink:
    """`target` is the text after the colon of `name:target`, as it was written (`bench.api.in_full` expands `~`).

    The order of calls for a cell: `start`, then each `row`, then `scores`, then `end`; several cells can be under way.
    Calls never overlap. Whatever one raises ends the sink with one warning.
    """

    name: ClassVar[str]
    #: what the target says, as one word
    argument_name: ClassVar[str] = "DIR"

    def __init__(self, target: str) -> None:
        """Import what is needed and open the target. Raises UsageError, one sentence, when that is impossible."""
        self.target = target

    def start(self, cell: str, settings: Mapping[str, Any]) -> None:
        """A cell begins or goes on. `settings`: its whole specification, names joined by dots -> plain values."""

    def row(self, cell: str, epoch: int, values: Mapping[str, float]) -> None:
        """The numbers of a finished epoch (0-based), by their columns in epochs.csv. Epochs come in order."""

    def scores(self, cell: str, values: Mapping[str, float]) -> None:
        """Accuracies of a finished cell in percent, as `long-tailed/aa/balanced`."""

    def end(self, cell: str, how: str) -> None:
        """A cell ended: `done`, `failed`, or `stopped` where another run will go on with it."""

    def close(self) -> None:
        """The run is over."""
