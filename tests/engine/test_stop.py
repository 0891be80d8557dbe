"""A run that is told to stop keeps what it has, says so in one sentence, and exits with a code of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.engine.executors.inline import Inline
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.engine.resume.checkpoint import load_checkpoint
from bench.store import lease
from bench.store.folders import read_cell

#: enough that no machine is done before a signal has reached its worker
EPOCHS = 48
ARGUMENTS = [
    "--methods", "at", "--datasets", "digitslt", "--irs", "10", "--attacks", "clean,pgd-20", "--epochs", str(EPOCHS),
]  # fmt: skip
CELL = expand(Axes(("at",), ("digitslt",), attacks=("clean", "pgd-20"), epochs=EPOCHS), None)[0]


def start(root: Path, jobs: int) -> subprocess.Popen[str]:
    """`bench run` in a process of its own."""
    words = [sys.executable, "-m", "bench", "run", *ARGUMENTS, "--results", str(root), "--jobs", str(jobs)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def trained(root: Path, process: subprocess.Popen[str]) -> None:
    """Wait until three epochs are done."""
    while process.poll() is None:
        owner = lease.owner(root / CELL.spec.id)
        if owner is not None and owner.progress.at >= 3:
            return
        time.sleep(0.02)
    pytest.fail("it ended too early")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The cell computed without a disturbance."""
    root = tmp_path_factory.mktemp("whole")
    Inline().run([CELL], Settings(results=root), lambda event: None)
    return root


@pytest.mark.parametrize(("jobs", "number"), [(0, signal.SIGTERM), (1, signal.SIGTERM), (1, signal.SIGHUP)])
def test_it_keeps_its_last_epoch_and_the_next_run_goes_on_to_the_same_bytes(tmp_path, undisturbed, jobs, number):
    process = start(tmp_path, jobs)
    trained(tmp_path, process)
    os.kill(process.pid, number)
    began = time.monotonic()
    _, log = process.communicate(timeout=60)
    assert process.returncode == 128 + number, log
    assert time.monotonic() - began < 30
    assert f"bench: stopped by {signal.Signals(number).name}" in log
    assert "Traceback" not in log
    folder = tmp_path / CELL.spec.id
    assert read_cell(folder)["status"] == "running"
    assert load_checkpoint(folder / "checkpoint.pt")["epoch"] >= 3
    assert lease.leases(folder) == []
    events: list[dict] = []
    Inline().run([CELL], Settings(results=tmp_path), events.append)
    assert [e["at"] for e in events if e.get("stage") == "train"][1] > 3
    whole = undisturbed / CELL.spec.id
    for name in ("per_class.csv", "per_sample.npz"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert read_cell(folder)["weights"] == read_cell(whole)["weights"]
