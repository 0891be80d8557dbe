"""Shared first epochs: cells that begin with the same plain training start from one stored checkpoint.

TAET's cross-entropy stage does not depend on its later settings. Its state after the last shared epoch is stored
under a hash of everything that decides it (versions, code, kind of device and threads too), and any cell with the same
hash goes on from there, on a CPU with the same bytes as without sharing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from bench.api import Method
from bench.config import BENCHMARK_VERSION, CellSpec, canonical_json
from bench.engine.resume.checkpoint import load_checkpoint, save_checkpoint
from bench.errors import StoreError, UnreadableError
from bench.store.folders import set_aside
from bench.store.provenance import identity

#: seconds after which a state that nobody used is removed: a week
UNUSED = 7 * 86400.0


class Prefix:
    """The stored state after the first `epochs` epochs of plain cross-entropy training of a cell."""

    def __init__(self, spec: CellSpec, epochs: int, folder: Path, data_hash: str, device: torch.device) -> None:
        recipe = dataclasses.replace(spec.recipe, name="", eps=0.0, step=0.0, steps=0)
        plain = dataclasses.replace(spec, method="ce", hparams=(), variant="", recipe=recipe)
        where = [BENCHMARK_VERSION, torch.__version__, device.type, torch.get_num_threads()]
        code = [identity.code("methods", spec.method), identity.code("models", spec.model)]
        digest = hashlib.sha256(canonical_json([plain, epochs, data_hash, where, code]).encode()).hexdigest()
        self.epochs, self.path = epochs, folder / f"{digest[:16]}.pt"

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The stored state, or None when there is none; a damaged one is set aside. Raises UnreadableError."""
        try:
            if not self.path.exists():
                return None
            with suppress(OSError):
                os.utime(self.path)  # it is of use: see `sweep`
            return load_checkpoint(self.path, device)
        except UnreadableError:
            raise
        except StoreError:
            with suppress(FileNotFoundError):  # another cell was faster
                set_aside(self.path)
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Store the state, unless another cell did meanwhile."""
        if not self.path.exists():
            save_checkpoint(self.path, state | {"method": {}})


def sweep(folder: Path) -> None:
    """Remove stored states that no cell has used for `UNUSED` seconds, and what a kill left half-written."""
    for path in folder.glob("*") if folder.is_dir() else ():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > UNUSED:
                path.unlink()
    with suppress(OSError):
        folder.rmdir()


def make_prefix(spec: CellSpec, method: Method, folder: Path, data_hash: str, device: torch.device) -> Prefix | None:
    """The prefix of a cell, or None when its method shares nothing."""
    epochs = method.shared_prefix(spec.recipe)
    return Prefix(spec, epochs, folder, data_hash, device) if 0 < epochs <= spec.recipe.epochs else None
