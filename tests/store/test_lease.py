"""One writer at a time, also where processes die, stop past their lease, or live on hosts whose clocks differ."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import HeldError, LostError, StoreError
from bench.store import lease
from bench.store.folders import atomic_write
from bench.store.lease.taking import _make

#: a term that a test can wait for; a beat comes every tenth of it
TERM = 1.0


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own; it says a line on its standard output when it has got where the test wants it."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


HOLD = """
import sys
from pathlib import Path
from bench.store.folders import atomic_write
from bench.store.lease import leased
folder, term = Path(sys.argv[1]), float(sys.argv[2])
with leased(folder, term):
    atomic_write(folder / "by", "first")
    print("held", flush=True)
    sys.stdin.readline()
    try:
        atomic_write(folder / "by", "first again")
    except Exception as error:
        print(type(error).__name__, flush=True)
    else:
        print("written", flush=True)
"""


def line(process: subprocess.Popen[str]) -> str:
    """The next line a child says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def answer(process: subprocess.Popen[str]) -> str:
    """Let a child go on and hear what became of its writing; its pipes are closed afterwards."""
    said, _ = process.communicate("go\n", timeout=30)
    return said.strip()


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(p.name for p in folder.rglob("*"))


def test_held_while_it_lasts_and_free_afterwards(tmp_path):
    with lease.leased(tmp_path):
        assert lease.held(tmp_path)
        with pytest.raises(HeldError, match=f"process {os.getpid()} on "):
            lease.take(tmp_path)
        atomic_write(tmp_path / "a", "1")
    assert not lease.held(tmp_path)
    assert names(tmp_path) == ["a"]


def test_an_owner_that_was_killed_is_followed_at_once_and_leaves_nothing(tmp_path):
    process = child(HOLD, tmp_path, 300)
    assert line(process) == "held"
    assert lease.held(tmp_path)
    process.kill()
    process.communicate()
    assert lease.owner(tmp_path).dead
    assert not lease.held(tmp_path)
    with lease.leased(tmp_path):
        assert lease.held(tmp_path)
    assert names(tmp_path) == ["by"]


def test_an_owner_stopped_past_its_term_writes_nothing_more(tmp_path):
    process = child(HOLD, tmp_path, TERM)
    assert line(process) == "held"
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(HeldError):
        lease.take(tmp_path, TERM)
    time.sleep(1.5 * TERM)
    with lease.leased(tmp_path, TERM):
        atomic_write(tmp_path / "by", "second")
        os.kill(process.pid, signal.SIGCONT)
        assert answer(process) == "LostError"
        assert (tmp_path / "by").read_text() == "second"
    assert names(tmp_path) == ["by"]


def test_a_lease_that_was_lost_stays_lost_when_its_number_is_given_again(tmp_path):
    process = child(HOLD, tmp_path, TERM)
    assert line(process) == "held"
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(1.5 * TERM)
    lease.take(tmp_path, TERM).release()
    with lease.leased(tmp_path, TERM) as third:
        assert third.room.parent.name == ".lease-1"
        os.kill(process.pid, signal.SIGCONT)
        assert answer(process) == "LostError"
        third.check()


def test_a_living_owner_keeps_its_lease_past_the_term(tmp_path):
    process = child(HOLD, tmp_path, TERM)
    assert line(process) == "held"
    time.sleep(2 * TERM)
    with pytest.raises(HeldError):
        lease.take(tmp_path, TERM)
    assert answer(process) == "written"


@pytest.mark.parametrize("hours", [-5, 5])
def test_clocks_of_hosts_do_not_matter(tmp_path, monkeypatch, hours):
    """A silent lease of a far host is over, a beating one is not, whatever this host believes the time to be."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600 * hours)
    held = lease.take(tmp_path, TERM)
    owner = held.room / lease.OWNER
    owner.write_text(json.dumps(json.loads(owner.read_text()) | {"host": "far"}))
    with pytest.raises(HeldError, match="on far"):
        lease.take(tmp_path, TERM)
    held._end.set()  # it beats no more
    held._thread.join()
    os.utime(owner, (now - 2 * TERM, now - 2 * TERM))
    with lease.leased(tmp_path, TERM), pytest.raises(LostError):
        held.check()


CONTEND = """
import sys, time
from pathlib import Path
from bench.errors import HeldError
from bench.store.folders import atomic_write
from bench.store.lease import leased
folder, times = Path(sys.argv[1]), int(sys.argv[2])
got = 0
print("ready", flush=True)
sys.stdin.readline()
while got < times:
    try:
        with leased(folder):
            mark = folder / "inside"
            mark.mkdir()  # fails if anybody else is inside
            count = folder / "count"
            atomic_write(count, str(int(count.read_text() if count.exists() else "0") + 1))
            mark.rmdir()
            got += 1
    except HeldError:
        time.sleep(0.002)
"""


def test_many_at_once_never_meet_and_lose_nothing(tmp_path):
    processes = [child(CONTEND, tmp_path, 15) for _ in range(5)]
    assert [line(p) for p in processes] == ["ready"] * 5
    for p in processes:
        p.communicate("go\n", timeout=60)
    assert [p.returncode for p in processes] == [0] * 5
    assert (tmp_path / "count").read_text() == "75"
    assert names(tmp_path) == ["count"]


def test_two_who_break_the_same_lease_do_not_both_get_it(tmp_path, monkeypatch):
    """The second looked before the first broke it: what it takes for the newest lease is none any more."""
    process = child(HOLD, tmp_path, 300)
    assert line(process) == "held"
    process.kill()
    process.communicate()
    seen = lease.leases(tmp_path)
    with lease.leased(tmp_path):
        with pytest.raises(FileExistsError):
            _make(tmp_path, seen, TERM)
        with pytest.raises(FileExistsError):
            _make(tmp_path, [], TERM)  # it looked when nobody held it
        assert lease.held(tmp_path)
    assert names(tmp_path) == ["by"]


def test_what_a_killed_process_left_is_swept(tmp_path):
    process = child(HOLD, tmp_path, 300)
    assert line(process) == "held"
    lease.sweep(tmp_path)
    assert lease.held(tmp_path)
    process.kill()
    process.communicate()
    lease.sweep(tmp_path)
    assert names(tmp_path) == ["by"]


def test_progress_is_told_to_readers(tmp_path):
    with lease.leased(tmp_path) as mine:
        mine.note(stage="train", at=3, of=20)
        there = lease.owner(tmp_path)
        assert (there.said.pid, there.dead) == (os.getpid(), False)
        assert there.progress == lease.Progress("train", 3, 20)
        assert there.silent < 60


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be leased"):
        lease.take(tmp_path / "file" / "cell")


@pytest.mark.parametrize("said", ["", "[]", "{}", "nonsense", '{"pid": "x", "host": 3}'])
def test_an_owner_file_of_any_content_is_no_crash(tmp_path, said):
    room = tmp_path / ".lease-1" / "abc"
    room.mkdir(parents=True)
    (room / lease.OWNER).write_text(said)
    assert lease.held(tmp_path)
    with pytest.raises(HeldError):
        lease.take(tmp_path)
    os.utime(room / lease.OWNER, (0, 0))
    with lease.leased(tmp_path):
        assert lease.held(tmp_path)
