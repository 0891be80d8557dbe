"""Partial verdicts on disk: one npz a stage, written beside and renamed, so a kill leaves the old or the new file."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np

from bench.errors import UnreadableError

#: images a call of an evaluation, by kind of device
EVALUATION_BATCH = {"cpu": 128, "cuda": 512}


class ChunkFolder:
    """A `bench.engine.suite.StageStore` in a folder. A file that cannot be read counts as absent: it is recomputed."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def file(self, key: str) -> Path:
        """The file of a key: a readable part and a hash, since a key may hold any character."""
        slug = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")[:60]
        return self.path / f"{slug}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.npz"

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """What was saved under the key, or None. Raises UnreadableError."""
        try:
            with self.file(key).open("rb") as handle, np.load(handle, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        except PermissionError as error:
            raise UnreadableError.of(self.file(key)) from error
        except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, OSError):
            return None

    def save(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        """Replace what is saved under the key, all or nothing."""
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.file(key)
        beside = target.with_suffix(f".{os.getpid()}.part")
        with beside.open("wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]
            handle.flush()
            os.fsync(handle.fileno())
        beside.replace(target)

    def clear(self) -> None:
        """Remove the folder: the verdicts have been stored for good."""
        shutil.rmtree(self.path, ignore_errors=True)
