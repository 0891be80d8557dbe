"""Files of the user that are written: whole or not at all, and what a name is stays what it is."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from bench.errors import LostError, StoreError
from bench.store import lease
from bench.store.folders import CellFolder, atomic_write, beside, fenced, set_aside


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.xml"
    link.symlink_to(tmp_path / "there" / "real.xml")
    for text in ("first", "second"):  # to where nothing is yet, and to a file
        atomic_write(link, text)
        assert link.is_symlink()
        assert (tmp_path / "there" / "real.xml").read_text() == text
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["link.xml", "real.xml", "there"]


def test_a_pipe_stays_one_and_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    atomic_write(tmp_path / "pipe", "told")
    reader.join(10)
    assert heard == [b"told"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_device_stays_one(tmp_path):
    (tmp_path / "nothing").symlink_to("/dev/null")
    atomic_write(tmp_path / "nothing", "told")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(StoreError, match="Is a directory; choose a writable folder"):
        atomic_write(tmp_path, "told")


def test_a_file_of_a_cell_is_the_cell_s_own(tmp_path):
    (tmp_path / "other").write_text("another's")
    folder = CellFolder(tmp_path, "cell")
    with folder.locked():
        (folder.path / "a").symlink_to(tmp_path / "other")
        atomic_write(folder.path / "a", "mine")
    assert (tmp_path / "other").read_text() == "another's"
    assert (folder.path / "a").read_text() == "mine"


@pytest.fixture
def overtaken(tmp_path, monkeypatch):
    """A folder whose first owner was silent past its term, so that a second one has written there."""
    folder, term = CellFolder(tmp_path, "cell"), 0.2
    monkeypatch.setattr(lease.Lease, "_beat", lambda _: None)
    with folder.locked(term) as first:
        for name in ("cell.json", "a.csv"):
            atomic_write(folder.path / name, "first")
        time.sleep(2 * term)
        second = lease.take(folder.path, term)
        for name in ("cell.json", "a.csv"):
            (folder.path / name).write_text("second")
        yield folder
        with pytest.raises(LostError):
            first.check()
        assert {p.name for p in folder.path.iterdir() if p.name[0] != "."} == {"cell.json", "a.csv"}
        assert {p.read_text() for p in folder.path.glob("*") if p.name[0] != "."} == {"second"}
        second.release()


def test_who_was_overtaken_retires_nothing_of_its_successor(overtaken):
    with pytest.raises(LostError):
        overtaken.retire()
    assert not (overtaken.path.parent / "stale").exists()


def test_who_is_overtaken_in_the_middle_of_a_retirement_moves_nothing_more(tmp_path, monkeypatch):
    folder, real = CellFolder(tmp_path, "cell"), Path.rename
    with folder.locked() as mine:
        for name in ("cell.json", "a.csv", "b.csv"):
            atomic_write(folder.path / name, name)

        def overtaken_after_it(path, target):
            moved = real(path, target)
            real(mine.room, mine.room.with_name("over"))
            return moved

        monkeypatch.setattr(Path, "rename", overtaken_after_it)
        with pytest.raises(LostError):
            folder.retire()
    assert len(list((tmp_path / "stale" / "cell").iterdir())) == 1
    assert (folder.path / "cell.json").exists()


def test_who_was_overtaken_sets_nothing_of_its_successor_aside(overtaken):
    with pytest.raises(LostError):
        set_aside(overtaken.path / "a.csv")


def test_who_was_overtaken_removes_nothing(overtaken):
    with pytest.raises(LostError):
        fenced(overtaken.path / "a.csv").unlink()
    fenced(overtaken.path.parent / "elsewhere").unlink(missing_ok=True)  # under no lease


def test_what_is_not_finished_leaves_nothing(tmp_path):
    def stopped() -> None:
        with beside(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []
