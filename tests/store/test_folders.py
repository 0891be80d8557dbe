"""Files of the user that are written: whole or not at all, and what a name is stays what it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.store.folders import CellFolder, atomic_write, beside


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


def test_what_is_not_finished_leaves_nothing(tmp_path):
    def stopped() -> None:
        with beside(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []
