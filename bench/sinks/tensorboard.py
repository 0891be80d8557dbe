"""TensorBoard event files, a folder a cell: `--sink tensorboard:DIR`, then `tensorboard --logdir DIR`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.api import Sink, UsageError, in_full, register


@register("sinks")
class TensorBoard(Sink):
    """Epochs as curves under `epoch/`, scores under their split and attack, the specification as a text."""

    name = "tensorboard"

    def __init__(self, target: str) -> None:
        super().__init__(target)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "tensorboard is not installed; pip install 'robust-longtail-bench[tensorboard]'."
            ) from None
        self.folder, self._make = in_full(target), SummaryWriter
        self._open: dict[str, Any] = {}

    def start(self, cell: str, settings: Mapping[str, Any]) -> None:
        """A writer of its own: cells of one run stand side by side."""
        self._open[cell] = writer = self._make(str(self.folder / cell))
        lines = [f"    {name} = {value}" for name, value in settings.items()]
        writer.add_text("specification", "\n".join(lines), 0)

    def row(self, cell: str, epoch: int, values: Mapping[str, float]) -> None:
        """A step is an epoch."""
        for name, value in values.items():
            self._open[cell].add_scalar(f"epoch/{name}", value, epoch)
        self._open[cell].flush()

    def scores(self, cell: str, values: Mapping[str, float]) -> None:
        """One point each."""
        for name, value in values.items():
            self._open[cell].add_scalar(name, value, 0)

    def end(self, cell: str, how: str) -> None:
        """The file is complete."""
        writer = self._open.pop(cell)
        writer.add_text("ended", how, 0)
        writer.close()
