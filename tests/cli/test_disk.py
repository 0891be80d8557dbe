"""A disk that is full, or becomes read-only, under the real command: a sentence a cell, nothing lost, the same bytes.

The disks are file systems in memory of a mount space of their own, which only root can make; elsewhere it is skipped.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

RUN = [sys.executable, "-m", "bench", "run", "--methods", "ce,at", "--datasets", "digitslt", "--irs", "10", "--epochs",
       "20", "--limit", "6", "--attacks", "clean,pgd-20", "--jobs", "0", "--device", "cpu", "--quiet"]  # fmt: skip

FULL = """
mount -t tmpfs -o size=600k none {disk}
{run}; echo "exit $?"
mount -o remount,size=64m {disk}
{run}; echo "exit $?"
cp -r {disk}/runs {kept}
"""
READ_ONLY = """
mount -t tmpfs -o size=64m none {disk}
{run} &
until ls {disk}/runs/*/checkpoint.pt >/dev/null 2>&1; do sleep 0.02; done
until mount -o remount,ro {disk} 2>/dev/null; do sleep 0.01; done
wait $!; echo "exit $?"
{run}; echo "exit $?"
mount -o remount,rw {disk}
{run}; echo "exit $?"
cp -r {disk}/runs {kept}
"""


def on_a_disk(script: str, folder: Path) -> tuple[str, Path]:
    """(what was said, a copy of the results) of a script in which `run` is the command on a disk of its own."""
    disk, kept = folder / "disk", folder / "kept"
    disk.mkdir()
    run = shlex.join([*RUN, "--results", str(disk / "runs")])
    text = script.format(disk=shlex.quote(str(disk)), kept=shlex.quote(str(kept)), run=run)
    done = subprocess.run(["unshare", "-m", "sh", "-c", text], capture_output=True, text=True, check=False, timeout=120)
    assert kept.exists(), done.stdout + done.stderr
    return done.stdout + done.stderr, kept


def counts(root: Path) -> dict[str, bytes]:
    """The files of a folder's cells whose bytes must be equal."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.glob("*/per_*") if p.suffix in (".csv", ".npz")}


@pytest.fixture(scope="module", autouse=True)
def _mounts(tmp_path_factory) -> None:
    """Skips where no disk can be made."""
    place = tmp_path_factory.mktemp("place")
    tried = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    try:
        made = subprocess.run(tried, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"no disk can be made here: {error}")
    if made.returncode or os.name != "posix":
        pytest.skip(f"no disk can be made here: {made.stderr.strip()}")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, bytes]:
    """The bytes of the same grid on a sound disk."""
    root = tmp_path_factory.mktemp("undisturbed")
    subprocess.run([*RUN, "--results", str(root)], check=True, capture_output=True)
    found = counts(root)
    assert len(found) == 4
    return found


def test_a_full_disk_costs_the_cell_that_it_stops_until_there_is_room(tmp_path, undisturbed):
    said, kept = on_a_disk(FULL, tmp_path)
    assert said.count("No space left on device; free some space and run the same command again.") == 1, said
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if line.startswith("exit")] == ["exit 1", "exit 0"]
    assert counts(kept) == undisturbed
    assert not list(kept.rglob("*.part"))


def test_a_disk_that_becomes_read_only_is_gone_on_with_when_it_can_be_written(tmp_path, undisturbed):
    said, kept = on_a_disk(READ_ONLY, tmp_path)
    assert "Read-only file system; choose a writable folder." in said
    assert said.count("is not writable; give another with --results.") == 1, said
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if line.startswith("exit")] == ["exit 1", "exit 1", "exit 0"]
    assert counts(kept) == undisturbed
    assert not list(kept.rglob("*.part"))
