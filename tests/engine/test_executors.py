"""Cells on several processes: each task ends with exactly one event, whatever becomes of its process or of the run."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.config import canonical_json
from bench.engine import cell as cell_module
from bench.engine.executors import ENDS
from bench.engine.executors import local as local_module
from bench.engine.executors.inline import Inline
from bench.engine.executors.local import Local
from bench.engine.grid import Axes, expand
from bench.engine.host import stop
from bench.engine.life.settings import Settings
from bench.errors import StoppedError, StoreError
from bench.store.folders import CellFolder, read_cell

TASKS = expand(Axes(methods=("ce", "at", "trades"), datasets=("digitslt",), irs=("10",), epochs=1, limit=6))

#: a process that answers each task at once; `{ce}`: what it does with the first one instead
FAKE = """
import json, os, sys, time
sys.stdin.readline()
for line in sys.stdin:
    spec = json.loads(line)["spec"]
    cell = {cells}[spec["method"]]
    def say(event, **more):
        print(json.dumps(dict(cell=cell, event=event, **more)), flush=True)
    if spec["method"] == "ce":
        {ce}
    say("done")
"""


@pytest.fixture
def fake(monkeypatch):
    """Puts a script without torch in the place of the worker."""

    def put(ce="pass"):
        cells = {task.spec.method: task.spec.id for task in TASKS}
        script = FAKE.replace("{cells}", repr(cells)).replace("{ce}", ce)
        monkeypatch.setattr(local_module, "COMMAND", (sys.executable, "-c", script))

    return put


@pytest.fixture
def interruptible():
    """Ctrl-C as on a terminal: a test run in the background is told to ignore it, and so are its processes."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ends(events):
    """Method -> its last events."""
    names = {task.spec.id: task.spec.method for task in TASKS}
    return {names[e["cell"]]: e["event"] for e in events if e["event"] in ENDS}


@pytest.mark.parametrize(
    ("ce", "pattern"),
    [
        ("print('no event', flush=True)", "JSONDecodeError"),
        ("print('[]', flush=True)", "TypeError"),
        ("print('{}', flush=True)", "KeyError"),
        ("sys.exit(3)", "ended with exit code 3"),
        ("os.close(0); os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
    ],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_talks_nonsense_or_dies_fails_its_cell_alone(fake, tmp_path, ce, pattern, jobs):
    fake(ce)
    events = []
    Local(jobs).run(TASKS, Settings(results=tmp_path), events.append)
    assert ends(events) == {"ce": "failed", "at": "done", "trades": "done"}
    (failed,) = [e for e in events if e.get("event") == "failed"]
    assert pattern in failed["message"]
    assert read_cell(tmp_path / TASKS[0].spec.id)["failure"]["stage"] == "process"


@pytest.mark.parametrize(
    "ce",
    [
        "os.kill(os.getpid(), 15)",  # before it listens
        "os.kill(os.getpid(), 12)",
        "os._exit(143)",
        "say('stopped')",
        "say('done'); time.sleep(0.2); os._exit(143)",  # between two cells
    ],
)
def test_a_process_that_was_told_to_stop_ends_the_run_and_fails_no_cell(fake, tmp_path, ce):
    fake(ce)

    def slowly(event):
        assert event["event"] != "failed", event
        time.sleep(0.5)

    with pytest.raises(StoppedError):
        Local(1).run(TASKS, Settings(results=tmp_path), slowly)
    assert not list(tmp_path.glob("*/cell.json"))


def test_a_process_that_dies_while_the_run_is_told_to_stop_fails_no_cell(fake, tmp_path, monkeypatch):
    fake("os.kill(os.getppid(), 10); time.sleep(0.3); os.kill(os.getpid(), 9)")
    before = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr(stop, "_asked", [])
    stop.listen([signal.SIGUSR1])
    try:
        with pytest.raises(StoppedError, match="SIGUSR1"):
            Local(1).run(TASKS, Settings(results=tmp_path), lambda event: None)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not list(tmp_path.glob("*/cell.json"))


def test_a_failure_that_cannot_be_stored_is_still_reported(fake, tmp_path, monkeypatch):
    def full(*_):
        raise StoreError("no space left on device")

    fake("sys.exit(1)")
    monkeypatch.setattr(local_module, "mark_failed", full)
    (tmp_path / "file").touch()
    for results in (tmp_path, tmp_path / "file"):
        events = []
        Local(1).run(TASKS, Settings(results=results), events.append)
        assert ends(events) == {"ce": "failed", "at": "done", "trades": "done"}


def test_a_cell_that_another_process_holds_is_not_written_to(fake, tmp_path):
    fake("sys.exit(1)")
    events = []
    folder = CellFolder(tmp_path, TASKS[0].spec.id)
    with folder.locked():
        Local(1).run(TASKS, Settings(results=tmp_path), events.append)
        assert folder.read() is None
    assert ends(events)["ce"] == "failed"
    Local(1).run(TASKS[:1], Settings(results=tmp_path), events.append)
    assert folder.read()["status"] == "failed"  # once it is free


def test_a_process_that_dies_between_two_cells_is_replaced(fake, tmp_path):
    fake("say('done'); os._exit(1)")
    events = []

    def slowly(event):
        events.append(event)
        time.sleep(0.5)

    Local(1).run(TASKS, Settings(results=tmp_path), slowly)
    assert ends(events) == {"ce": "done", "at": "done", "trades": "done"}


def test_a_process_that_cannot_be_started_fails_every_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(local_module, "COMMAND", (str(tmp_path / "absent"),))
    events = []
    Local(2).run(TASKS, Settings(results=tmp_path), events.append)
    assert ends(events) == {"ce": "failed", "at": "failed", "trades": "failed"}


def test_what_the_listener_raises_ends_the_run_and_is_raised(fake, tmp_path):
    fake()

    def broken(event):
        raise OSError("the terminal is gone")

    with pytest.raises(OSError, match="the terminal is gone"):
        Local(2).run(TASKS, Settings(results=tmp_path), broken)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_fails_nothing_and_starts_nothing(fake, tmp_path, jobs):
    fake("say('progress'); time.sleep(60)")
    events, before = [], threading.active_count()

    def interrupt(event):
        events.append(event)
        if len(events) == jobs:
            os.kill(os.getpid(), signal.SIGINT)

    tasks = [dataclasses.replace(task, spec=dataclasses.replace(task.spec, method="ce")) for task in TASKS]
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Local(jobs).run(tasks, Settings(results=tmp_path), interrupt)
    assert time.monotonic() - began < 30
    assert [e["event"] for e in events] == ["progress"] * jobs
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == before


def test_inline_too_goes_on_where_a_failure_cannot_be_stored(tmp_path, monkeypatch):
    def run_cell(task, settings, emit):
        if task is TASKS[0]:
            raise StoreError("no space left on device")
        emit({"cell": task.spec.id, "event": "done"})

    monkeypatch.setattr(cell_module, "run_cell", run_cell)
    events = []
    Inline().run(TASKS, Settings(results=tmp_path), events.append)
    assert ends(events) == {"ce": "failed", "at": "done", "trades": "done"}


@pytest.mark.slow
def test_a_process_whose_parent_is_gone_leaves_its_cell_interrupted(tmp_path):
    """The first thing it may notice is that nobody reads its events; that is no failure of the cell."""
    with subprocess.Popen(local_module.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write(json.dumps(Settings(results=tmp_path).to_plain()) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["event"] == "ready"
        process.stdout.close()
        process.stdin.write(canonical_json({"spec": TASKS[0].spec, "want": TASKS[0].want}) + "\n")
        process.stdin.flush()
        assert process.wait(60) == 0
    assert read_cell(tmp_path / TASKS[0].spec.id)["status"] == "running"


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_run_in_one_sentence(tmp_path):
    """As in a terminal: the signal goes to the command and to all of its processes."""
    words = ["run", "--methods", "at,trades,mart", "--datasets", "digitslt", "--irs", "10", "--seeds", "0,1"]
    command = [sys.executable, "-m", "bench", *words, "--jobs", "2", "--device", "cpu", "--yes", "--results", "r"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("r/*/cell.json"))) < 2:
            assert run.poll() is None, run.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        _, error = run.communicate(timeout=60)  # ends when the last process closes its stderr, so none is left
    assert run.returncode == 130, error
    assert [line for line in error.splitlines() if line.strip()] == [
        "bench: interrupted; what was finished is stored, and the same command goes on from there."
    ]
    status = Counter(read_cell(path.parent)["status"] for path in tmp_path.glob("r/*/cell.json"))
    assert status == {"running": 2}


def test_a_cell_that_another_process_holds_is_left_to_it(tmp_path):
    words = ["run", "--methods", "ce,at", "--datasets", "digitslt", "--irs", "10", "--epochs", "1", "--limit", "6",
             "--attacks", "clean", "--jobs", "0", "--device", "cpu", "--results", str(tmp_path)]  # fmt: skip
    held = CellFolder(tmp_path, TASKS[0].spec.id)
    with held.locked():
        result = CliRunner().invoke(group, words, standalone_mode=False)
        assert held.read() is None
    assert result.return_value == 0, result.output
    assert "done, 0 failed" in result.output
    assert "left for now: " in result.output
    assert "is being worked on by process" in result.output
    result = CliRunner().invoke(group, words, standalone_mode=False)
    assert (result.return_value, held.read()["status"]) == (0, "done")
