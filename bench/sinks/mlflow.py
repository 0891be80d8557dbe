"""MLflow runs, one a cell: `--sink mlflow:DIR` (a database in that folder) or `mlflow:URI` of a tracking server."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from bench.api import Sink, UsageError, in_full, register

#: the experiment that holds the runs, and how an end is called there
EXPERIMENT = "bench"
ENDS = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
#: letters of a value, and values of one call, that every server takes
LETTERS, AT_ONCE = 500, 100


@register("sinks")
class MLflow(Sink):
    """The specification as parameters, epochs as metrics with their steps, scores as metrics. Needs no account."""

    name = "mlflow"
    argument_name = "DIR|URI"

    def __init__(self, target: str) -> None:
        super().__init__(target)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would report its use to its makers
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own, about packages that it imports
            try:
                import alembic  # noqa: F401  (its database needs both, and its small package brings neither)
                import sqlalchemy  # noqa: F401
                from mlflow.entities import Metric, Param
                from mlflow.tracking import MlflowClient
            except ImportError as error:
                raise UsageError(
                    f"mlflow cannot be imported ({error}); pip install 'robust-longtail-bench[mlflow]'."
                ) from None
        self._metric, self._param, self._runs = Metric, Param, dict[str, str]()
        uri, artifacts = target, None
        if "://" not in target:
            folder = in_full(target).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts")
        self._client = self._quietly(lambda: MlflowClient(uri))
        self._experiment = self._quietly(lambda: self._find(artifacts))

    def start(self, cell: str, settings: Mapping[str, Any]) -> None:
        """A run of the cell's name; one that goes on is another run with the same parameters."""
        run = self._quietly(lambda: self._client.create_run(self._experiment, run_name=cell, tags={"cell": cell}))
        self._runs[cell] = run.info.run_id
        params = [self._param(name, str(value)[:LETTERS]) for name, value in settings.items()]
        for first in range(0, len(params), AT_ONCE):
            self._send(cell, params=params[first : first + AT_ONCE])

    def row(self, cell: str, epoch: int, values: Mapping[str, float]) -> None:
        """A step is an epoch."""
        self._log(cell, {f"epoch/{name}": value for name, value in values.items()}, epoch)

    def scores(self, cell: str, values: Mapping[str, float]) -> None:
        """One point each."""
        self._log(cell, values, 0)

    def end(self, cell: str, how: str) -> None:
        """The run's status."""
        run = self._runs.pop(cell)
        self._quietly(lambda: self._client.set_terminated(run, ENDS[how]))

    def _log(self, cell: str, values: Mapping[str, float], step: int) -> None:
        import time

        now = int(time.time() * 1000)
        metrics = [self._metric(name, value, now, step) for name, value in values.items()]
        for first in range(0, len(metrics), AT_ONCE):
            self._send(cell, metrics=metrics[first : first + AT_ONCE])

    def _send(self, cell: str, **some: Any) -> None:
        self._quietly(lambda: self._client.log_batch(self._runs[cell], **some))

    def _find(self, artifacts: str | None) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        made: str = found.experiment_id if found else self._client.create_experiment(EXPERIMENT, artifacts)
        return made

    def _quietly(self, ask: Callable[[], Any]) -> Any:
        """Its warnings about its own database are no matter of the user's."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ask()
