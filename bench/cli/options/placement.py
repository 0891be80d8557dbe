"""Where cells run: the options of `bench run` that say so, and the executor they name. No number depends on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options.common import text_option
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.engine.executors import Executor

OPTIONS = (
    click.option(
        "--on", "place", type=click.Choice(("local", "slurm", "ray")), default="local", show_default=True,
        help="Where: this machine, worker jobs of a SLURM cluster, or a Ray cluster. Same cells, same bytes.",
    ),
    text_option(
        "--jobs", default="auto", metavar="N|auto",
        help="Processes (of each worker job, elsewhere); 0 runs in this process. Default auto: as many as cores and "
        "memory hold, and with --on slurm one a GPU of the node.",
    ),
    click.option("--threads", type=click.IntRange(1, 512), default=1, show_default=True, help="CPU threads a process."),
    click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Worker jobs, elsewhere."),
    click.option(
        "--slurm", "slurm", multiple=True, metavar="KEY=VALUE",
        help="An option of sbatch, as often as needed: partition, account, qos, time, gpus, cpus, memory, constraint, "
        "parallel (workers at once), or any other.",
    ),
    click.option("--setup", multiple=True, metavar="LINE", help="A line of shell before each SLURM worker."),
    text_option("--ray", "ray", default="auto", show_default=True, metavar="ADDRESS", help="The Ray cluster."),
    click.option("--detach", is_flag=True, help="Submit the SLURM workers and leave; `bench status` follows them."),
)  # fmt: skip


def placement_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options of this module."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Placement:
    """What the options say; see their help."""

    place: str = "local"
    jobs: str = "auto"
    threads: int = 1
    workers: int = 1
    slurm: Sequence[str] = ()
    setup: Sequence[str] = ()
    ray: str = "auto"
    detach: bool = False

    def device(self, name: str) -> str:
        """The device as the executor wants it: resolved here, or by each worker on its own host."""
        from bench.engine.host.device import resolve_device

        return resolve_device(name) if self.place == "local" else name

    def executor(self, device: str, memory_mib: float | None) -> Executor:
        """The executor. Raises UsageError for options that do not fit, BenchError where the cluster's parts lack."""
        from bench.engine.host.device import resolve_jobs

        if self.place != "slurm" and (self.slurm or self.setup or self.detach):
            raise UsageError("--slurm, --setup and --detach belong to --on slurm; leave them out or add it.")
        if self.place == "slurm":
            from bench.engine.executors.slurm import Slurm

            jobs = 0 if self.jobs == "auto" else max(1, resolve_jobs(self.jobs, "cpu", 1))
            return Slurm(self.workers, self._pairs(), self.setup, jobs=jobs, detach=self.detach)
        if self.place == "ray":
            from bench.engine.executors.ray import Ray

            return Ray(self.workers, self.ray)
        from bench.engine.executors.inline import Inline
        from bench.engine.executors.local import Local

        count = resolve_jobs(self.jobs, device, self.threads, memory_mib)
        return Local(count) if count else Inline()

    def script(self, results: Path) -> str:
        """The script of SLURM's workers, for a dry run; empty elsewhere."""
        if self.place != "slurm":
            return ""
        from bench.engine.executors.slurm import Slurm

        return Slurm(self.workers, self._pairs(), self.setup).script(results)

    def _pairs(self) -> dict[str, str]:
        pairs = {}
        for text in self.slurm:
            key, sign, value = text.partition("=")
            if not sign or not key.strip() or not value.strip():
                raise UsageError(f"--slurm '{text}' cannot be read; write KEY=VALUE, for instance partition=gpu.")
            pairs[key.strip()] = value.strip()
        return pairs
