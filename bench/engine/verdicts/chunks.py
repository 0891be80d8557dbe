"""Partial verdicts on disk: one npz a stage, written beside and renamed, so a kill leaves the old or the new file."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.errors import UnreadableError
from bench.store.folders import atomic_write

#: images a call of an evaluation, by kind of device
EVALUATION_BATCH = {"cpu": 128, "cuda": 512}


class StageStore(Protocol):
    """Where partial verdicts survive a kill. Keys are any text."""

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """What was saved under the key, or None."""

    def save(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        """Replace what is saved under the key, all or nothing."""


class ChunkFolder:
    """A `StageStore` in a folder. A file that cannot be read counts as absent: it is recomputed."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def file(self, key: str) -> Path:
        """The file of a key."""
        return self.path / f"{_name(key)}.npz"

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """What was saved under the key, or None. Raises UnreadableError."""
        try:
            with self.file(key).open("rb") as handle, np.load(handle, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        except PermissionError as error:
            raise UnreadableError.of(self.file(key)) from error
        except Exception:  # absent, or damaged: each part of an archive has errors of its own
            return None

    def save(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        """Replace what is saved under the key, all or nothing. Raises StoreError."""
        packed = io.BytesIO()
        np.savez(packed, **arrays)  # type: ignore[arg-type]
        atomic_write(self.file(key), packed.getvalue())


class Partial:
    """The partial verdicts of a cell: `partial/<evaluation>/<mark of the attack's code>/`, a file a stage.

    Those of an evaluation that was broken off stay until it is asked for again and done.
    """

    def __init__(self, cell: Path) -> None:
        self.path = cell / "partial"

    def of(self, key: str, code: str) -> ChunkFolder:
        """The folder of an evaluation; what other code of its attack left there is never gone on with."""
        return ChunkFolder(self._place(key) / (code or "unknown"))

    def clear(self, keys: Iterable[str]) -> None:
        """Remove what is left of these evaluations, which are stored for good, and the folder once it is empty."""
        if self.path.is_dir():
            for key in keys:
                shutil.rmtree(self._place(key), ignore_errors=True)
            with suppress(OSError):
                self.path.rmdir()

    def _place(self, key: str) -> Path:
        return self.path / _name(key)


def _name(key: str) -> str:
    """A readable part and a hash, since a key may hold any character."""
    slug = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")[:60]
    return f"{slug}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
