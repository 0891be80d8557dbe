"""Cells on several processes of this machine. A process that dies fails its cell, and the grid goes on.

Workers are kept from cell to cell, because importing torch costs seconds; one that dies is replaced.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

from bench.config import Task, canonical_json
from bench.engine.device import environment
from bench.engine.executors import OnEvent
from bench.engine.failure import mark_failed
from bench.engine.settings import Settings


class Local:
    """`jobs` processes, each running one cell at a time, in the order of the tasks."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def run(self, tasks: Sequence[Task], settings: Settings, on_event: OnEvent) -> None:
        """Run every task. KeyboardInterrupt ends the workers and is raised again."""
        todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in tasks:
            todo.put(task)
        guard, workers = threading.Lock(), list[_Worker]()

        def safely(event: dict[str, object]) -> None:
            with guard:
                on_event(event)

        threads = []
        for _ in range(min(self.jobs, len(tasks))):
            worker = _Worker(todo, settings, safely)
            workers.append(worker)
            threads.append(threading.Thread(target=worker.serve, daemon=True))
            threads[-1].start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        finally:
            for worker in workers:
                worker.stop()


class _Worker:
    """One process and the thread that feeds it."""

    def __init__(self, todo: queue.SimpleQueue[Task], settings: Settings, on_event: OnEvent) -> None:
        self.todo, self.settings, self.on_event = todo, settings, on_event
        self.process: subprocess.Popen[str] | None = None

    def serve(self) -> None:
        """Take tasks until there are none."""
        while True:
            try:
                task = self.todo.get_nowait()
            except queue.Empty:
                return self.stop()
            self._one(task)

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self._bury()

    def _one(self, task: Task) -> None:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.engine.executors.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True, env=environment(self.settings.threads),
            )  # fmt: skip
            self._send(json.dumps(self.settings.to_plain()))
        self._send(canonical_json({"spec": task.spec, "want": task.want}))
        stdout: IO[str] = self.process.stdout  # type: ignore[assignment]
        for line in stdout:
            event = json.loads(line)
            self.on_event(event)
            if event["event"] in ("done", "failed") and event["cell"] == task.spec.id:
                return
        code = self._bury()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        message = f"the process of the cell {how}; run the same command again to go on from its last checkpoint."
        mark_failed(self.settings.results, task, "process", message)
        self.on_event({"cell": task.spec.id, "event": "failed", "stage": "process", "message": message})

    def _bury(self) -> int:
        """Wait for the process, close its pipes, return its exit code."""
        process, self.process = self.process, None
        assert process is not None
        with process:
            process.stdin.close() if process.stdin else None
        return process.returncode

    def _send(self, line: str) -> None:
        try:
            self.process.stdin.write(line + "\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            pass  # the reader sees the end of its output and says how it died
