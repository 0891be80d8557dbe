"""Checkpoints: tensors and plain values only, written atomically, read with `weights_only`, every byte verified."""

from __future__ import annotations

import copy
import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch

from bench.errors import OverdueError, StoppedError, StoreError, UnreadableError
from bench.store.folders import atomic_write

#: entry of a checkpoint's state: where it was written
PLACE = "place"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, and where. Raises StoreError when the folder cannot be written."""
    buffer = io.BytesIO()
    torch.save({**state, PLACE: _place(path)}, buffer)
    atomic_write(path, buffer.getvalue())


class Keeper:
    """When a training's states are written: every `seconds`, at its end, and when it is stopped.

    Within its `with` block each epoch offers its state; one that is not written yet is kept as a copy, so that what a
    signal breaks off costs no more than the epoch it was in. `path`: None writes nothing.
    """

    def __init__(self, path: Path | None, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._written, self._kept = time.monotonic(), dict[str, Any]()

    def __enter__(self) -> Self:
        return self

    def offer(self, state: Callable[[], dict[str, Any]], last: bool) -> None:
        """The state at the end of an epoch, the `last` one or another."""
        if self.path is None:
            return
        if last or time.monotonic() - self._written >= self.seconds:
            save_checkpoint(self.path, state())
            self._written, self._kept = time.monotonic(), {}
        else:
            self._kept = copy.deepcopy(state())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (StoppedError, OverdueError)) and self.path is not None and self._kept:
            save_checkpoint(self.path, self._kept)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Raises StoreError when the file is damaged, another's, or holds code.

    torch's reader does not look at the archive's checksums, so a bit that turned would be another weight: they are
    verified here first. A file that was written for another cell would be another training: it says where it was
    written. Raises UnreadableError when the file may not be read.
    """
    try:
        content = io.BytesIO(path.read_bytes())
        with zipfile.ZipFile(content) as archive:
            if (wrong := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{wrong} has another checksum")
        content.seek(0)
        state: dict[str, Any] = torch.load(content, map_location=device, weights_only=True)
    except PermissionError as error:
        raise UnreadableError.of(path) from error
    except Exception as error:  # torch's reader raises anything on a damaged file, KeyError included
        # torch's own words are left out: they advise to read the file unsafely
        raise StoreError(
            f"checkpoint {path} cannot be read: it is damaged, or holds more than tensors and plain values; "
            "remove it, and the next run trains again."
        ) from error
    place = state.pop(PLACE, _place(path))  # older ones do not say
    if place != _place(path):
        raise StoreError(f"checkpoint {path} is not this cell's, it was written as {place}; remove it or restore it.")
    return state


def _place(path: Path) -> str:
    """A checkpoint's name below its results folder: `<cell id>/checkpoint.pt`, `prefixes/<digest>.pt`."""
    return f"{path.absolute().parent.name}/{path.name}"
