"""Weights & Biases runs, one a cell: `--sink wandb:DIR` writes them into that folder, for `wandb sync` when it suits.

Nothing is sent unless `WANDB_MODE=online` asks for it, with a login and perhaps `WANDB_PROJECT`, `WANDB_ENTITY`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bench.api import Sink, UsageError, in_full, register

#: the project that holds the runs where the environment names none
PROJECT = "bench"


@register("sinks")
class WandB(Sink):
    """The specification as the run's configuration, epochs as steps, scores and the end as its summary."""

    name = "wandb"

    def __init__(self, target: str) -> None:
        super().__init__(target)
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it would report its failures to its makers
        os.environ.setdefault("WANDB_SILENT", "true")
        try:
            import wandb
        except ImportError as error:
            raise UsageError(
                f"wandb cannot be imported ({error}); pip install 'robust-longtail-bench[wandb]'."
            ) from None
        self._init, self._settings = wandb.init, wandb.Settings
        self.folder = in_full(target).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, Any] = {}

    def start(self, cell: str, settings: Mapping[str, Any]) -> None:
        """A run of the cell's name beside those of other cells; nothing of the machine or of the code is read."""
        self._open[cell] = self._init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=cell,
            dir=str(self.folder),
            config=dict(settings),
            mode=os.environ.get("WANDB_MODE", "offline"),
            reinit="create_new",
            settings=self._settings(console="off", disable_git=True, save_code=False, x_disable_stats=True),
        )

    def row(self, cell: str, epoch: int, values: Mapping[str, float]) -> None:
        """A step is an epoch."""
        self._open[cell].log({f"epoch/{name}": value for name, value in values.items()}, step=epoch)

    def scores(self, cell: str, values: Mapping[str, float]) -> None:
        """One value each."""
        self._open[cell].summary.update(dict(values))

    def end(self, cell: str, how: str) -> None:
        """A run that failed or was stopped is one that failed there."""
        run = self._open.pop(cell)
        run.summary["ended"] = how
        run.finish(exit_code=0 if how == "done" else 1)
