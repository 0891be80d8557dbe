"""Cells on a Ray cluster, for machines without SLURM: workers as tasks that Ray starts again when a node goes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from bench.config import Task
from bench.engine.executors import OnEvent, share
from bench.engine.host import stop
from bench.engine.life.settings import Settings
from bench.errors import BenchError


class Ray:
    """`workers` tasks, each with its threads, and a GPU where cells run on one. `address`: of the cluster."""

    def __init__(self, workers: int, address: str = "auto") -> None:
        _installed()
        self.workers, self.address = workers, address

    def run(self, tasks: Sequence[Task], settings: Settings, on_event: OnEvent) -> None:
        """Start the workers and follow the cells until each has ended."""
        if not tasks:
            return
        ray = _connected(self.address)
        file = share.write(tasks, settings, 1)
        gpus = wanted_gpus(settings.device, ray.cluster_resources())
        remote = ray.remote(num_cpus=settings.threads, num_gpus=gpus, max_retries=-1)(share.work)
        asked = [remote.remote(file) for _ in range(min(self.workers, len(tasks)))]
        errors: list[BaseException] = []

        def alive() -> bool:
            nonlocal asked
            ended, asked = ray.wait(asked, num_returns=len(asked), timeout=0) if asked else ([], [])
            errors.extend(error for ref in ended if (error := _error(ray, ref)) is not None)
            return bool(asked)

        share.watch(tasks, settings.results, on_event, alive, lambda: _why(errors))
        share.clear(settings.results)


def wanted_gpus(device: str, resources: Mapping[str, float]) -> int:
    """GPUs that a worker asks for: Ray hides those of its node from one that asks for none."""
    return 1 if device.startswith("cuda") or (device == "auto" and resources.get("GPU", 0) >= 1) else 0


def _error(ray: Any, ref: Any) -> BaseException | None:
    try:
        ray.get(ref)
    except Exception as error:
        return error
    return None


def _why(errors: Sequence[BaseException]) -> str:
    reason = f": {str(errors[0]).strip().splitlines()[-1]}" if errors else ""
    return f"no Ray worker is left{reason}. Run the same command again to go on."


def _installed() -> Any:
    try:
        import ray
    except ImportError as error:
        raise BenchError("--on ray needs Ray; pip install 'robust-longtail-bench[ray]'.") from error
    return ray


def _connected(address: str) -> Any:
    ray = _installed()
    if not ray.is_initialized():
        before = {number: signal.getsignal(number) for number in stop.SIGNALS}
        try:
            ray.init(address=address, include_dashboard=False, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BenchError(
                f"no Ray cluster at '{address}' ({error}); start one with `ray start --head`, or give --ray ADDRESS."
            ) from error
        if threading.current_thread() is threading.main_thread():  # Ray's own handlers end the process with a trace
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
    return ray
