"""Downloads from a local server: whole, interrupted and continued, wrong, refused."""

import concurrent.futures
import contextlib
import errno
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.datasets import _medmnist
from bench.datasets._download import download
from bench.errors import DataError

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


FIRST = 1 << 16  # what is read at once


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; drops the connection after `server.cut` bytes when that is set.

    Before the rest of the first `FIRST` bytes of an answer it waits for its turn in `server.gates`, where it has one.
    """

    def do_GET(self):
        self.server.requests.append(self.headers.get("Range"))
        gate = self.server.gates[len(self.server.requests) - 1 :][:1]
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        asked = self.headers.get("Range")
        if asked and self.server.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if asked and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if self.server.cut is not None:
            body, self.server.cut = body[: self.server.cut], None
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[:FIRST])
            for wait in gate:
                assert wait.wait(60)
            self.wfile.write(body[FIRST:])

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def _online(monkeypatch):
    """The server is on this machine; tests are offline otherwise."""
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.files, made.cut, made.ranges, made.requests = {"/f.npz": CONTENT}, None, True, []
        made.gates = []
        made.url = f"http://127.0.0.1:{made.server_port}/f.npz"
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        for gate in made.gates:
            gate.set()
        made.shutdown()
        thread.join()


def test_whole_download_with_progress(server, tmp_path):
    seen = []
    target = download(server.url, tmp_path / "new" / "f.npz", MD5, lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert not (target.parent / "f.npz.part").exists()
    download(server.url, target, MD5)
    assert len(server.requests) == 1  # what is right already is kept


@pytest.mark.parametrize("ranges", [True, False])
def test_interrupted_download_goes_on(server, tmp_path, ranges):
    server.cut, server.ranges = 100_000, ranges
    target = tmp_path / "f.npz"
    with pytest.raises(DataError, match=r"cannot be downloaded.*run the command again.*by hand as .*f\.npz"):
        download(server.url, target, MD5)
    assert not target.exists()
    (have,) = parts(tmp_path)
    assert 0 < have <= 100_000
    assert download(server.url, target, MD5).read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={have}-"]


def test_a_part_that_is_whole_already_is_taken(server, tmp_path):
    (tmp_path / "f.npz.part").write_bytes(CONTENT)
    assert download(server.url, tmp_path / "f.npz", MD5).read_bytes() == CONTENT


def test_wrong_content_is_fetched_anew(server, tmp_path):
    (tmp_path / "f.npz.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match=r"what .* sent is damaged \(its MD5 is not"):
        download(server.url, tmp_path / "f.npz", MD5)
    assert not (tmp_path / "f.npz").exists()
    assert download(server.url, tmp_path / "f.npz", MD5).read_bytes() == CONTENT


def test_a_damaged_target_is_replaced_only_by_a_right_one(server, tmp_path):
    target = tmp_path / "f.npz"
    target.write_bytes(b"damaged")
    server.cut = 10
    with pytest.raises(DataError):
        download(server.url, target, MD5)
    assert target.read_bytes() == b"damaged"
    assert download(server.url, target, MD5).read_bytes() == CONTENT
    assert (tmp_path / "f.npz.old").read_bytes() == b"damaged"


def until(true):
    """Wait until something is true."""
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def parts(folder):
    """Sizes of what is being downloaded, and of what was left."""
    return sorted(path.stat().st_size for path in folder.glob("*.part*"))


@pytest.mark.parametrize("first", [0, 1])
def test_two_downloads_at_once_never_touch_each_others_bytes(server, tmp_path, first):
    """The second comes while the first is under way, and ends after or before it."""
    server.gates, target = [threading.Event(), threading.Event()], tmp_path / "f.npz"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        calls = []
        for number in (1, 2):
            calls.append(pool.submit(download, server.url, target, MD5))
            until(lambda number=number: parts(tmp_path) == [FIRST] * number)
        server.gates[first].set()
        assert calls[first].result(60).read_bytes() == CONTENT
        server.gates[1 - first].set()
        assert calls[1 - first].result(60).read_bytes() == CONTENT
    assert server.requests == [None, None]
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


def test_what_a_killed_process_left_is_continued_and_a_living_ones_is_not(server, tmp_path):
    server.gates, target = [threading.Event()], tmp_path / "f.npz"
    code = f"from bench.datasets._download import *; download({server.url!r}, Path({str(target)!r}), {MD5!r})"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "BENCH_OFFLINE": ""}) as other:
        until(lambda: parts(tmp_path) == [FIRST])
        server.cut = 0
        with pytest.raises(DataError, match="cannot be downloaded"):
            download(server.url, target, MD5)
        assert parts(tmp_path) == [FIRST]
        other.kill()
    assert download(server.url, target, MD5).read_bytes() == CONTENT
    assert server.requests == [None, None, f"bytes={FIRST}-"]
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


def test_a_file_system_without_locks_goes_on_with_what_was_left(server, tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", none)
    server.cut, target = FIRST, tmp_path / "f.npz"
    (tmp_path / "f.npz.part-0").write_bytes(b"of somebody who may live")
    with pytest.raises(DataError):
        download(server.url, target, MD5)
    assert download(server.url, target, MD5).read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={FIRST}-"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.npz", "f.npz.part-0"]


def test_network_closed(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"cannot be downloaded .*place the file by hand as .*f\.npz"):
        download("http://127.0.0.1:9/f.npz", tmp_path / "f.npz", MD5)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    with pytest.raises(DataError, match=r"BENCH_OFFLINE forbids.*by hand as .*f\.npz"):
        download("http://127.0.0.1:9/f.npz", tmp_path / "f.npz", MD5)


def test_missing_on_the_server(server, tmp_path):
    with pytest.raises(DataError, match="Not Found"):
        download(server.url + "x", tmp_path / "f.npz", MD5)


def test_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written .*--data-root"):
        download(server.url, tmp_path / "file" / "f.npz", MD5)


def published(server, monkeypatch, name, content):
    """Let `name` be published by the local server."""
    server.files["/x.npz"] = content
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    table = _medmnist.catalogue()
    own = table[name] | {"url": server.url.replace("/f.npz", "/x.npz"), "MD5": checksum}
    monkeypatch.setattr(_medmnist, "catalogue", lambda: table | {name: own})


def test_bench_fetch_of_a_medmnist_set(server, tmp_path, monkeypatch):
    published(server, monkeypatch, "bloodmnist", CONTENT)
    server.cut = 50_000
    words = ["fetch", "medmnist:bloodmnist", "--data-root", str(tmp_path)]
    first = CliRunner().invoke(group, words)
    assert isinstance(first.exception, DataError)
    second = CliRunner().invoke(group, words)
    assert second.exit_code == 0
    assert second.stdout == f"medmnist:bloodmnist: {tmp_path / 'bloodmnist.npz'}\n"
    assert (tmp_path / "bloodmnist.npz").read_bytes() == CONTENT
    assert server.requests[1].startswith("bytes=")


def test_bench_fetch_of_cifar_unpacks_and_keeps(server, tmp_path, monkeypatch):
    import torchvision

    def digest(content):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    inside = {name: name.encode() * 9 for name in ("data_batch_1", "test_batch", "batches.meta")}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in inside.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    server.files["/cifar.tar.gz"] = packed.getvalue()
    known = torchvision.datasets.CIFAR10
    monkeypatch.setattr(known, "url", server.url.replace("/f.npz", "/cifar.tar.gz"))
    monkeypatch.setattr(known, "tgz_md5", digest(packed.getvalue()))
    monkeypatch.setattr(known, "train_list", [["data_batch_1", digest(inside["data_batch_1"])]])
    monkeypatch.setattr(known, "test_list", [["test_batch", digest(inside["test_batch"])]])
    monkeypatch.setattr(known, "meta", known.meta | {"md5": digest(inside["batches.meta"])})
    words = ["fetch", "cifar10lt", "--data-root", str(tmp_path)]
    for _ in range(2):
        assert CliRunner().invoke(group, words).exit_code == 0
    folder = tmp_path / "cifar-10-batches-py"
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == inside
    assert len(server.requests) == 1
    (folder / "test_batch").unlink()
    (tmp_path / "cifar-10-python.tar.gz").rename(tmp_path / "gone")
    assert CliRunner().invoke(group, words).exit_code == 0
    assert (folder / "test_batch").is_file()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["cifar-10-batches-py", "cifar-10-python.tar.gz", "gone"]
