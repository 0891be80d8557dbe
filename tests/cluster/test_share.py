"""A grid that workers share, as its launcher follows it: what a cell's last event is, and when."""

from __future__ import annotations

import os
import signal

import pytest

from bench.engine.executors import local, share
from bench.engine.executors.inline import Inline
from bench.engine.grid import Axes, expand
from bench.engine.host import stop
from bench.engine.life.failure import mark_failed
from bench.engine.life.settings import Settings
from bench.errors import StoppedError

TASK = expand(Axes(methods=("ce",), datasets=("digitslt",), irs=("10",), attacks=("clean",), epochs=1, limit=6))[0]


def followed(root, steps):
    """The events of the launcher, whose every look at the workers is one of the `steps`: (what happens, alive)."""
    events, left = [], iter(steps)

    def alive():
        happens, living = next(left)
        happens()
        return living

    share.watch([TASK], root, events.append, alive, lambda: "no worker is left", refresh=0.01)
    return [(e["event"], e.get("message", "")) for e in events if e["event"] != "progress"]


def fail(root):
    """What another worker does that fails."""
    return lambda: mark_failed(root, TASK, "train", "out of luck")


def finish(root):
    """What another worker does that is lucky."""
    return lambda: Inline().run([TASK], Settings(results=root), lambda event: None)


def nothing():
    """Nothing happens."""


def test_a_failure_is_the_last_word_only_once_no_worker_is_left(tmp_path):
    note = ("note", "failed in one worker: out of luck")
    found = followed(tmp_path / "one", [(fail(tmp_path / "one"), True), (nothing, True), (nothing, False)])
    assert found == [note, ("failed", "out of luck")]
    found = followed(tmp_path / "two", [(fail(tmp_path / "two"), True), (finish(tmp_path / "two"), True)])
    assert found == [note, ("done", "")]


def test_a_failure_of_an_earlier_run_does_not_explain_that_no_worker_came(tmp_path):
    fail(tmp_path)()
    assert followed(tmp_path, [(nothing, True), (nothing, False)]) == [("failed", "no worker is left")]


def test_a_launcher_that_is_told_to_stop_stops(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(stop, "_asked", [])
    stop.listen([signal.SIGTERM])
    try:
        with pytest.raises(StoppedError):
            followed(tmp_path, [(lambda: os.kill(os.getpid(), signal.SIGTERM), True), (nothing, False)])
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_worker_does_not_wait_for_a_cell_that_failed_here(tmp_path, monkeypatch):
    class Fake:
        def __init__(self, jobs):
            pass

        def run(self, tasks, settings, on_event):
            for task in tasks:
                how = "elsewhere" if task.spec.cells else "failed"
                on_event({"cell": task.spec.id, "event": how, "message": "it is so"})

    monkeypatch.setattr(local, "Local", Fake)
    monkeypatch.setattr(share, "REFRESH", 0.01)
    tasks = expand(Axes(methods=("crt[base=lws]",), datasets=("digitslt",), irs=("5",), attacks=("clean",), epochs=2))
    assert len(tasks) == 3
    assert share.work(share.write(tasks, Settings(results=tmp_path, device="cpu"))) == 3
