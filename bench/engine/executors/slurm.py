"""Cells on a SLURM cluster: worker jobs through submitit, each doing the cells that are free until none is left.

Not a job a cell: no array limit is met, torch is imported once a worker, and a job that is preempted or runs out of
time is requeued and goes on with whatever is free then. Success is read from the results alone; the queue is asked only
whether a worker is left, so a cluster without accounting does.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.config import Task
from bench.engine.executors import OnEvent, share
from bench.engine.host import stop
from bench.engine.life.settings import Settings
from bench.errors import BenchError, UsageError

#: submitit takes a job for timed out once ten minutes of its limit or fewer are left
SHORTEST_MINUTES = 10
#: options of sbatch that submitit names otherwise
NAMES = {"cpus": "cpus_per_task", "gpus": "gpus_per_node", "memory": "mem", "parallel": "array_parallelism"}
#: where submitit keeps scripts, pickles and logs, within the results folder
JOBS = ".slurm"


class Worker:
    """What a job calls. It is pickled by name and with a path only; its `checkpoint` makes submitit requeue it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self) -> int:
        """Do the cells that are free; returns how many failed. Raises StoppedError when the job is being ended."""
        own = f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"  # submitit's: it queues the job again
        stop.listen([number for number in stop.SIGNALS if number.name != own], patient=True)
        return share.work(self.file, _log)

    def checkpoint(self) -> Any:
        """Called on preemption or near the time limit: go on with the same grid in a new run of the job."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _log(line: str) -> None:
    logging.getLogger("bench.run").info("%s", line)


class Slurm:
    """`workers` jobs. `options`: of sbatch by name, with those of NAMES; `setup`: lines of shell before each worker."""

    def __init__(
        self,
        workers: int,
        options: Mapping[str, str],
        setup: Sequence[str] = (),
        *,
        jobs: int = 0,
        detach: bool = False,
    ) -> None:
        self.submitit = _submitit()
        self.workers, self.setup, self.jobs, self.detach = workers, tuple(setup), jobs, detach
        self.parameters = parameters(options)
        #: ids of the jobs, and where their logs are
        self.submitted: list[str] = []
        self.logs = Path()

    def run(self, tasks: Sequence[Task], settings: Settings, on_event: OnEvent) -> None:
        """Submit the workers and, unless detached, follow the cells until each has ended.

        Raises BenchError with what SLURM says when it takes no job.
        """
        if not tasks:
            return
        file = share.write(tasks, settings, self.jobs)
        executor = self._executor(file.parent.parent / JOBS)
        try:
            with executor.batch():
                jobs = [executor.submit(Worker(file)) for _ in range(min(self.workers, len(tasks)))]
        except (RuntimeError, OSError, self.submitit.core.utils.UncompletedJobError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
            raise BenchError(
                f"SLURM took no worker: {said}; mend --slurm (`sinfo` lists partitions, their limits and resources)."
            ) from error
        self.submitted = [str(job.job_id) for job in jobs]
        if not self.detach:
            share.watch(tasks, settings.results, on_event, lambda: in_queue(self.submitted), self._why)
            share.clear(settings.results)

    def script(self, results: Path) -> str:
        """The script that would be submitted, for `--dry-run`; nothing is written."""
        executor = self._executor(results.absolute() / JOBS)
        own = executor._executor
        text: str = own._make_submission_file_text(own._submitit_command_str, "workers")
        return text

    def _executor(self, folder: Path) -> Any:
        self.logs = folder
        executor = self.submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=1000)
        executor.update_parameters(name="bench", slurm_setup=list(self.setup) or None, **self.parameters)
        return executor

    def _why(self) -> str:
        said = self._last_line()
        return (
            f"no worker job is left ({', '.join(self.submitted)}){f': {said}' if said else ''}; their logs are in "
            f"{self.logs}. Run the same command again to go on."
        )

    def _last_line(self) -> str:
        """The last line of one of the workers' error logs; empty where none says anything."""
        for job in self.submitted:
            with suppress(OSError):
                lines = (self.logs / f"{job}_0_log.err").read_text(encoding="utf-8", errors="replace").split("\n")
                if spoken := [line.strip() for line in lines if line.strip() and not line.startswith("srun:")]:
                    return spoken[-1][:300]
        return ""


def parameters(options: Mapping[str, str]) -> dict[str, Any]:
    """Options of sbatch as submitit takes them. Raises UsageError for a time limit under which nothing would run."""
    known: dict[str, Any] = {"timeout_min": 60, "slurm_array_parallelism": 256}
    more: dict[str, Any] = {}
    for key, value in options.items():
        name = NAMES.get(key, key).replace("-", "_")
        if name == "time":
            known["timeout_min"] = minutes(value)
        elif name in ("array_parallelism", "cpus_per_task"):
            known[f"slurm_{name}"] = _whole(key, value)
        elif name == "gpus_per_node":
            known["slurm_gpus_per_node"] = int(value) if value.isdecimal() else value
        elif name in ("partition", "account", "qos", "constraint", "mem", "comment", "exclude", "nodelist"):
            known[f"slurm_{name}"] = value
        else:
            more[name] = value
    if known["timeout_min"] <= SHORTEST_MINUTES:
        raise UsageError(
            f"--slurm time={options['time']} is too short: a job counts as timed out when {SHORTEST_MINUTES} minutes "
            "are left; ask for more, for instance time=1:00:00."
        )
    return known | ({"slurm_additional_parameters": more} if more else {})


def minutes(text: str) -> int:
    """`90`, `1:30:00`, `2-00:00:00` (days) as whole minutes, as sbatch reads them. Raises UsageError."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if not match:
        raise UsageError(f"--slurm time={text} cannot be read; write minutes, hours:minutes:seconds or days-hours.")
    days, first, second, third = (int(part or 0) for part in match.groups())
    if match[1]:
        return days * 1440 + first * 60 + second
    if match[4]:
        return first * 60 + second + (third > 0)
    return first


def in_queue(jobs: Sequence[str]) -> bool:
    """Whether one of these jobs is waiting or running. A queue that cannot be asked now counts as yes."""
    numbers = ",".join(dict.fromkeys(job.split("_")[0] for job in jobs))
    try:
        asked = subprocess.run(
            ["squeue", "--noheader", "--jobs", numbers], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    if asked.returncode != 0:
        return "Invalid job id" not in asked.stderr
    return bool(asked.stdout.strip())


def _whole(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise UsageError(f"--slurm {key}={value} is not a whole number of at least 1.")
    return int(value)


def _submitit() -> Any:
    if shutil.which("sbatch") is None:
        raise BenchError("--on slurm needs SLURM's commands, and `sbatch` is not on the PATH; log in to the cluster.")
    try:
        import submitit
    except ImportError as error:
        raise BenchError("--on slurm needs submitit; pip install 'robust-longtail-bench[slurm]'.") from error
    return submitit
