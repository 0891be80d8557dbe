"""One download: progress, resume, checksum, atomic rename, and a clear sentence when the network is closed."""

from __future__ import annotations

import fcntl
import glob
import http.client
import shutil
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bench.api import DataError

from ._files import md5, offline

_CHUNK = 1 << 16
_PATIENCE = 30.0


def download(url: str, target: Path, checksum: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch `url` to `target` and verify its MD5; a target that is right already is kept.

    Bytes go to a file of this call's own, which begins with what an earlier call left (`<target>.part`, continued by an
    HTTP range) and takes the target's name only when it is whole and right. `progress(done, total)` counts bytes; total
    is 0 where the server does not say. Raises DataError.
    """
    if target.is_file() and md5(target) == checksum:
        return target
    by_hand = f"place the file by hand as {target} and run the command again"
    if offline():
        raise DataError(f"BENCH_OFFLINE forbids to download {url}; unset it, or {by_hand}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _own_part(target) as part:
            _continue(url, part, progress)
            if md5(part) != checksum:
                part.unlink()  # this function's own file
                raise DataError(
                    f"what {url} sent is damaged (its MD5 is not {checksum}); fetch it again, or {by_hand}."
                )
            _name(part, target, checksum)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{url} cannot be downloaded ({reason}); run the command again to go on where it stopped, or {by_hand}."
        ) from None
    except OSError as error:
        raise DataError(f"{target.parent} cannot be written ({error.strerror}); choose another --data-root.") from None
    return target


@contextmanager
def _own_part(target: Path) -> Iterator[Path]:
    """A file beside `target` that nobody else writes to; with what an earlier call left, where there is any.

    While it is used it has a name of its own and a lock, which ends with its process: one without was left by a process
    that was killed. What is left of it afterwards is called `<target>.part`.
    """
    left = target.with_name(f"{target.name}.part")
    own = target.with_name(f"{left.name}-{uuid.uuid4().hex}")
    killed = sorted(target.parent.glob(f"{glob.escape(left.name)}-*"))
    file = next((file for path in (left, *killed) if (file := _taken(path, own, path == left))), None)
    if file is None:
        new = target.with_name(f".{own.name}")  # a name that nobody looks for, until it has its lock
        new.touch()
        file = _taken(new, own, True)
    try:
        yield own
    finally:
        with suppress(FileNotFoundError):  # it is the target now, or was unlinked
            own.replace(left) if own.stat().st_size else own.unlink()
        if file is not None:
            file.close()


def _taken(path: Path, own: Path, free: bool) -> IO[bytes] | None:
    """The file at `path`, opened, locked and called `own` from now on; None where it is another's or gone."""
    try:
        file = path.open("rb+")
    except OSError:
        return None
    try:
        _lock(file, free)
        path.rename(own)  # whoever comes second finds nothing under the old name
    except OSError:
        file.close()
        return None
    return file


def _lock(file: IO[bytes], free: bool) -> None:
    """Lock a file; `free`: it is nobody's, also where the file system knows no locks. Raises OSError otherwise."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        if not free:
            raise


def _name(part: Path, target: Path, checksum: str) -> None:
    """Give a file that is whole its name. Another file of that name stays beside it, if it is not the same."""
    if target.exists():
        if target.is_file() and md5(target) == checksum:  # somebody else was there first
            part.unlink()
            return
        target.rename(free_name(target))
    part.replace(target)


def free_name(target: Path) -> Path:
    """The first of `NAME.old`, `NAME.old2`, ... that is not taken."""
    number, name = 2, target.with_name(target.name + ".old")
    while name.exists():
        number, name = number + 1, target.with_name(f"{target.name}.old{number}")
    return name


def _continue(url: str, part: Path, progress: Callable[[int, int], None] | None) -> None:
    """Append to `part` what is missing; start over when the server cannot continue."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(
        url, headers={"User-Agent": "bench", **({"Range": f"bytes={have}-"} if have else {})}
    )
    try:
        answer = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send: the part is whole, or longer than the file and fails its MD5
            return
        raise
    with answer:
        if answer.status != 206:
            have = 0
        _need_space(part.parent, left := int(answer.headers.get("Content-Length") or 0))
        total = have + left if left else 0
        with part.open("ab" if have else "wb") as file:
            while piece := answer.read(_CHUNK):
                file.write(piece)
                have += len(piece)
                if progress:
                    progress(have, total)
    if total and have < total:
        raise http.client.IncompleteRead(b"", total - have)


def _need_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(f"{folder} has {free >> 20} MiB free, {size >> 20} MiB are needed; choose another --data-root.")
