"""A grid that workers of several hosts share: its cells in a file, leases in the folders, results as the only truth.

A launcher writes the grid down once (`write`) and starts as many workers as it likes, by whatever means; each does the
cells that are free, one after another, until none is left (`work`). Whether a cell is done is read from its folder and
never from a scheduler, so a launcher can leave, and another can follow (`watch`).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.config import Task, canonical_json, cell_from_plain, request_from_plain
from bench.engine.executors import ENDS, OnEvent, failed
from bench.engine.host import stop
from bench.engine.life.settings import Settings
from bench.engine.plan import missing
from bench.engine.resume.prefix import sweep
from bench.errors import BenchError, StoreError
from bench.store import lease
from bench.store.folders import atomic_write, read_record
from bench.store.schema import PREFIXES
from bench.store.state import look
from bench.store.status import GRIDS
from bench.versions import versions

#: seconds between two looks at the cells of a grid
REFRESH = 2.0
#: seconds after which a file that is only half written is taken for what a kill left
HALF_WRITTEN = 3600.0
#: versions that may differ between the launcher and a worker: they name the machine or the checkout's state
LOCAL = {"platform", "git"}


def write(tasks: Sequence[Task], settings: Settings, jobs: int = 0) -> Path:
    """Write a grid down for its workers, each of which runs `jobs` processes (0: one a GPU), and for `bench status`.

    Paths are made absolute: a worker starts in a folder of its own. Equal grids have one file, which is returned.
    """
    root = settings.data_root
    plain = {
        "cells": [{"id": t.spec.id, "evaluations": [e.key for e in t.want.evaluations]} for t in tasks],
        "tasks": [{"spec": t.spec, "want": t.want} for t in tasks],
        "settings": settings.to_plain()
        | {"results": str(settings.results.absolute()), "data_root": str(root.absolute()) if root else None},
        "jobs": jobs,
        "python": sys.executable,
        "versions": {k: v for k, v in versions().items() if k not in LOCAL},
    }
    name = hashlib.sha256(canonical_json(plain["tasks"]).encode()).hexdigest()[:10]
    file = settings.results.absolute() / GRIDS / f"{name}.json"
    atomic_write(file, canonical_json(plain) + "\n")
    return file


def work(file: Path, say: Callable[[str], None] | None = None) -> int:
    """What one worker does: every cell of the grid that is free. Returns how many cells failed here.

    Raises BenchError before anything is computed when this environment is not the launcher's. `say` is told a line of
    JSON an event.
    """
    from bench.engine.executors.local import Local
    from bench.engine.host.device import resolve_device, visible_gpus

    tasks, plain = _read(file)
    _same_environment(plain)
    settings = Settings.from_plain(plain["settings"])
    settings = Settings(**{**vars(settings), "device": resolve_device(settings.device)})
    jobs = plain["jobs"] or (max(1, len(visible_gpus())) if settings.device == "cuda" else 1)
    ends: dict[str, str] = {}

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] in ENDS:
            ends[event["cell"]] = event["event"]
        if say is not None:
            say(json.dumps(event))

    executor = Local(jobs)
    while free := [t for t in tasks if ends.get(t.spec.id) != "failed" and _is_free(t, settings.results)]:
        executor.run(free, settings, on_event)
        _give_up(tasks, ends)
        if all(ends.get(t.spec.id) == "elsewhere" for t in free):  # their owners came between looking and asking
            time.sleep(REFRESH)
    return sum(end == "failed" for end in ends.values())


def _give_up(tasks: Sequence[Task], ends: dict[str, str]) -> None:
    """Count as failed what waits for a cell that failed here; it would wait for ever."""
    for task in tasks:  # those that others go on from come first
        if ends.get(task.spec.id) == "elsewhere" and any(ends.get(cell) == "failed" for _, cell in task.spec.cells):
            ends[task.spec.id] = "failed"


def watch(
    tasks: Sequence[Task],
    results: Path,
    on_event: OnEvent,
    alive: Callable[[], bool],
    why: Callable[[], str],
    refresh: float = REFRESH,
) -> None:
    """Turn what happens in the cells' folders into events until every task is done or no worker is `alive`.

    A cell that failed is only told of while a worker is left, because that one tries it too: on another machine it may
    be done. `why`: what to say of a task that no worker is left for. Raises StoppedError when told to stop.
    """
    left, before = {t.spec.id: t for t in tasks}, {t.spec.id: _stamp(results, t) for t in tasks}
    seen = dict(before)
    while True:
        stop.check()
        living = alive()
        for cell, task in list(left.items()):
            owner = lease.owner(results / cell)
            if owner is not None and owner.progress.stage:
                told = owner.progress
                on_event({"cell": cell, "event": "progress", "stage": told.stage, "at": told.at, "of": told.of})
            stamp = _stamp(results, task)
            if stamp == seen[cell] and living:
                continue
            seen[cell] = stamp
            if (end := _end(task, results)) is None or (living and owner is not None and not owner.dead):
                continue
            if end["event"] == "failed" and living:
                on_event({"cell": cell, "event": "note", "message": f"failed in one worker: {end['message']}"})
            if end["event"] == "failed" and (living or stamp == before[cell]):  # or failed in an earlier run
                continue
            on_event(end)
            del left[cell]
        if not left or not living:
            break
        time.sleep(refresh)
    for task in left.values():
        on_event(failed(task, "worker", why()))


def _read(file: Path) -> tuple[list[Task], dict[str, Any]]:
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        tasks = [Task(cell_from_plain(t["spec"]), request_from_plain(t["want"])) for t in plain["tasks"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file} cannot be read ({error}); start the run again.") from error
    return tasks, plain


def _same_environment(plain: dict[str, Any]) -> None:
    """Raises BenchError naming what differs: equal cells need equal libraries."""
    own = versions()
    other = {k: (v, own.get(k)) for k, v in plain["versions"].items() if own.get(k) != v}
    if other:
        said = "; ".join(
            f"{name} is {here}, where the run was started {there}" for name, (there, here) in other.items()
        )
        raise BenchError(
            f"on {os.uname().nodename} {said} (Python is {sys.executable}, there {plain['python']}); activate the same "
            "environment in the job with --setup."
        )


def _is_free(task: Task, results: Path) -> bool:
    folder = results / task.spec.id
    return not lease.held(folder) and bool(missing(task, look(folder)))


def _stamp(results: Path, task: Task) -> int:
    """Changes whenever a cell's cell.json does."""
    try:
        return (results / task.spec.id / "cell.json").stat().st_mtime_ns
    except OSError:
        return 0


def _end(task: Task, results: Path) -> dict[str, Any] | None:
    """The last event of a task as its folder tells it, None while it has none."""
    folder = results / task.spec.id
    if not missing(task, look(folder)):
        return {"cell": task.spec.id, "event": "done"}
    try:
        cell = read_record(folder)
    except StoreError:
        return None
    failure = cell.failure
    if cell.status != "failed" or not failure:
        return None
    return {"cell": task.spec.id, "event": "failed", "stage": failure.stage, "message": failure.message}


def clear(results: Path) -> None:
    """Remove the files of grids that are done, and their folder once it is empty; shared states that nobody uses."""
    sweep(results / PREFIXES)
    folder = results.absolute() / GRIDS
    for file in sorted(folder.glob("*.json")):
        with suppress(StoreError, OSError):
            if all(not missing(t, look(results / t.spec.id)) for t in _read(file)[0]):
                file.unlink(missing_ok=True)
    for part in folder.glob(".*.part"):  # a kill left it
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > HALF_WRITTEN:
                part.unlink()
    with suppress(OSError):
        folder.rmdir()
