"""A worker process: settings on the first line of its input, then a task a line; events a line on its output.

It ends when its input ends, also in the middle of a cell: a grid that is stopped leaves no process behind.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading

from bench.config import Task, cell_from_plain, request_from_plain
from bench.engine.executors import Event
from bench.engine.host import stop
from bench.engine.life.settings import Settings


def main() -> None:
    """Read settings and tasks until the input ends."""
    stop.listen(patient=True)  # the run that started it kills it in time
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # anything a library prints goes to stderr, never between the events
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    settings = Settings.from_plain(json.loads(sys.stdin.readline()))
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()

    from bench.engine.cell import run_cell

    def emit(event: Event) -> None:
        try:
            events.write(json.dumps(event) + "\n")
        except BrokenPipeError:
            os._exit(0)  # nobody listens any more; the cell was interrupted and has not failed

    emit({"cell": "", "event": "ready"})
    while True:
        plain = json.loads(lines.get())
        run_cell(Task(cell_from_plain(plain["spec"]), request_from_plain(plain["want"])), settings, emit)
        if stop.asked():
            os._exit(128 + signal.SIGTERM)  # at once: while an interpreter winds down, the end of its input is seen


def _listen(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
