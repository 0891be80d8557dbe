"""One download: progress, resume, checksum, atomic rename, and a clear sentence when the network is closed."""

from __future__ import annotations

import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from bench.api import DataError

from ._files import md5, offline

_CHUNK = 1 << 16
_PATIENCE = 30.0


def download(url: str, target: Path, checksum: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch `url` to `target` and verify its MD5; a target that is right already is kept.

    Bytes go to `<target>.part`, which a later call continues (HTTP range); the file takes its name only when it is
    whole and right. `progress(done, total)` counts bytes; total is 0 where the server does not say. Raises DataError.
    """
    if target.is_file() and md5(target) == checksum:
        return target
    by_hand = f"place the file by hand as {target} and run the command again"
    if offline():
        raise DataError(f"BENCH_OFFLINE forbids to download {url}; unset it, or {by_hand}.")
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _continue(url, part, progress)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{url} cannot be downloaded ({reason}); run the command again to go on where it stopped, or {by_hand}."
        ) from None
    except OSError as error:
        raise DataError(f"{target.parent} cannot be written ({error.strerror}); choose another --data-root.") from None
    if md5(part) != checksum:
        part.unlink()  # this function's own file
        raise DataError(f"what {url} sent is damaged (its MD5 is not {checksum}); fetch it again, or {by_hand}.")
    if target.exists():  # another file of that name stays beside the right one
        target.rename(free_name(target))
    part.replace(target)
    return target


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
