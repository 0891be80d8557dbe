"""Cells on several processes of this machine. A process that dies fails its cell, and the grid goes on.

One that was told to stop has not failed: whoever stopped it meant all of the run, as a scheduler that ends a job does.

A process is kept from cell to cell, because importing torch costs seconds; one that dies is replaced. Each has one
thread that starts it, feeds it and buries it. Others may only kill it.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from bench.config import Task, canonical_json
from bench.engine.executors import ENDS, Ground, OnEvent, failed
from bench.engine.host import stop
from bench.engine.host.device import environment
from bench.engine.life.failure import mark_failed
from bench.engine.life.settings import Settings
from bench.errors import StoppedError, StoreError
from bench.store.folders import CellFolder

#: seconds a process has to keep what it has, before it is killed
GRACE = 10.0
#: what a process runs: the program of its parent, never another copy that the current folder happens to hold
COMMAND = (sys.executable, "-P", "-m", "bench.engine.executors.worker")


class Local:
    """`jobs` processes, each running one cell at a time, in the order of the tasks."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def run(self, tasks: Sequence[Task], settings: Settings, on_event: OnEvent) -> None:
        """Run every task. KeyboardInterrupt, or what `on_event` raises, ends the processes and is raised again."""
        todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in tasks:
            todo.put(task)
        stopping, guard, over = threading.Event(), threading.Lock(), queue.SimpleQueue[BaseException | None]()

        def one_at_a_time(event: dict[str, object]) -> None:
            with guard:
                on_event(event)

        count = min(self.jobs, len(tasks))
        workers = [_Worker(i, todo, settings, one_at_a_time, stopping, over) for i in range(count)]
        # Should an impatient second Ctrl-C break the end of this off, daemons do not hold the interpreter back, and
        # processes end with their input.
        threads = [threading.Thread(target=worker.serve, daemon=True) for worker in workers]
        try:
            for thread in threads:
                thread.start()
            for _ in threads:
                if (error := _next(over)) is not None:
                    raise error
        finally:
            stopping.set()
            for worker in workers:
                worker.ask()
            end = time.monotonic() + GRACE
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
            for worker in workers:
                worker.kill()
            for thread in threads:
                thread.join()


def _unless_told(code: int) -> None:
    """Raises StoppedError when this process was told to stop, or the one that ended with this exit code."""
    stop.check()
    if (number := stop.told(code)) is not None:
        raise StoppedError(number)


def _next(over: queue.SimpleQueue[BaseException | None]) -> BaseException | None:
    """What the next process to end says. Raises StoppedError when this one is told to stop meanwhile."""
    while True:
        try:
            return over.get(timeout=0.5)
        except queue.Empty:
            stop.check()


class _Worker:
    """One process and the thread that feeds it, which is the one that runs `serve`."""

    def __init__(
        self,
        number: int,
        todo: queue.SimpleQueue[Task],
        settings: Settings,
        on_event: OnEvent,
        stopping: threading.Event,
        over: queue.SimpleQueue[BaseException | None],
    ) -> None:
        self.number = number
        self.todo, self.settings, self.on_event, self.stopping, self.over = todo, settings, on_event, stopping, over
        self.process: subprocess.Popen[str] | None = None
        self.ground = Ground(settings.results)

    def serve(self) -> None:
        """Take tasks until there are none or the run is stopped; then tell `over`, with what `on_event` raised."""
        # A terminal sends Ctrl-C to every process of a run. It is for the parent alone, and a process inherits what
        # the thread that starts it blocks.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            while not self.stopping.is_set() and (task := self._next()) is not None:
                self.ground.check()
                self._try(task)
        except BaseException as error:
            self.over.put(error)
        else:
            self.over.put(None)
        finally:
            self._end()

    def _next(self) -> Task | None:
        try:
            return self.todo.get_nowait()
        except queue.Empty:
            return None

    def _try(self, task: Task) -> None:
        try:
            self._one(task)
        except StoppedError:
            raise
        except Exception as error:
            self._end()  # nobody knows what it is at
            self._fail(task, f"the process of the cell cannot be followed ({type(error).__name__}: {error}).")

    def ask(self) -> None:
        """Ask the process to keep what it has and end, from any thread."""
        if (process := self.process) is not None:
            process.terminate()

    def kill(self) -> None:
        """Kill the process, from any thread. Its own thread notices, and buries it."""
        if (process := self.process) is not None:
            process.kill()

    def _one(self, task: Task) -> None:
        if self.process is not None and self.process.poll() is not None:
            _unless_told(self._bury())  # it died between two cells
        if self.process is None:
            self._start()
        self._send(canonical_json({"spec": task.spec, "want": task.want}))
        stdout: IO[str] = self.process.stdout  # type: ignore[union-attr, assignment]
        for line in stdout:
            event = json.loads(line)
            last = event["event"] in ENDS and event["cell"] == task.spec.id
            if last and event["event"] == "stopped":
                if self.stopping.is_set():
                    return
                raise StoppedError(signal.SIGTERM)
            self.on_event(event)
            if last:
                return
        code = self._bury()
        if self.stopping.is_set():
            return
        _unless_told(code)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        message = f"the process of the cell {how}; run the same command again to go on from its last checkpoint."
        self._fail(task, message)

    def _start(self) -> None:
        self.process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(self.settings.threads, self.settings.device, self.number),
        )
        if self.stopping.is_set():  # `kill` may have come too early to see it
            self.kill()
        self._send(json.dumps(self.settings.to_plain()))

    def _send(self, line: str) -> None:
        try:
            self.process.stdin.write(line + "\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            pass  # the reader sees the end of its output and says how it died

    def _fail(self, task: Task, message: str) -> None:
        """Store and report that a task failed, unless the run is being stopped: then it was only interrupted."""
        if self.stopping.is_set():
            return
        # What cannot be stored is still reported; a folder that another process holds by now is not ours to write to.
        with suppress(StoreError, OSError), CellFolder(self.settings.results, task.spec.id).locked():
            mark_failed(self.settings.results, task, "process", message)
        self.on_event(failed(task, "process", message))

    def _end(self) -> None:
        if self.process is not None:
            self.kill()
            self._bury()

    def _bury(self) -> int:
        """Wait for the process, close its pipes, return its exit code."""
        assert self.process is not None
        with self.process as process, suppress(BrokenPipeError):  # of what it did not read any more
            process.stdin.close()  # type: ignore[union-attr]
        self.process = None
        return process.returncode
