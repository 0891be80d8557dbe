"""What figures read besides counts, checked before anything is drawn: epochs.csv and features.npz of a cell.

A file that cannot be used is one of the store's problems, named in the report; it costs a figure, never the report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from bench.errors import StoreError
from bench.reports.source import Source
from bench.store import query
from bench.store.parts.arrays import read_arrays
from bench.store.schema import EPOCHS

T = TypeVar("T")

FEATURES = "features.npz"
#: fewer images make no map
ENOUGH = 5
#: columns of epochs.csv that hold words
WORDS = ("phase",)


@dataclass(frozen=True)
class Features:
    """Penultimate features N x D (float64, finite) of test images and their labels N (class indices)."""

    values: np.ndarray
    label: np.ndarray


def curves(source: Source, cell: str) -> pd.DataFrame:
    """epochs.csv of a cell; empty when there is none or it cannot be used."""
    found = _read(source, source.folder(cell) / "epochs.csv", _curves)
    return pd.DataFrame() if found is None else found


def features(source: Source, cell: str) -> Features | None:
    """features.npz of a cell; None when there is none or it cannot be used."""
    return _read(source, source.folder(cell) / FEATURES, _features)


def spread(values: np.ndarray) -> bool:
    """Whether points N x D differ enough to be mapped: principal components of equal points are 0/0."""
    size = float(np.abs(values).max(initial=0.0))
    return len(values) >= ENOUGH and size > 0 and bool(np.ptp(values / size, axis=0).max() > 1e-6)


def _read(source: Source, path: Path, read: Callable[[Path], T]) -> T | None:
    """What `read` makes of a file, once; a file that it refuses becomes a problem of the store."""
    if path not in source.files:
        try:
            source.files[path] = None
            if source.results is not None:
                source.results.must_be_written(path)
                source.files[path] = read(path) if path.exists() else None
        except StoreError as error:
            source.problems.append(str(error))
    found: T | None = source.files[path]
    return found


def _curves(path: Path) -> pd.DataFrame:
    """Raises StoreError unless there is a line an epoch, in numbers."""
    frame = query.curves(path.parent)
    wrong = [c for c in EPOCHS if c not in frame.columns]
    wrong += [c for c in frame.columns if c not in WORDS and not pd.api.types.is_numeric_dtype(frame[c])]
    if frame.empty or wrong:
        reason = f"the column '{wrong[0]}' is missing or holds words" if wrong else "it has no line"
        raise StoreError(f"{path} cannot be drawn ({reason}); restore it or move it away.")
    return frame


def _features(path: Path) -> Features:
    """Raises StoreError unless it holds finite features N x D, N >= 5, D >= 2, and N labels."""
    try:
        stored = read_arrays(path)
        values, label = np.asarray(stored["features"], dtype=np.float64), np.asarray(stored["label"])
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it or run the cell again.") from error
    sound = values.ndim == 2 and values.shape[1] >= 2 and label.shape == values.shape[:1] and label.dtype.kind in "iu"
    if not sound or not len(values):
        raise StoreError(
            f"{path} holds features {values.shape} and labels {label.shape} of {label.dtype}, not N x D (D at least 2) "
            "and N whole numbers; restore it or run the cell again."
        )
    if not np.isfinite(values).all() or not spread(values):
        raise StoreError(f"{path} cannot be drawn (its features are not finite, or all equal); run the cell again.")
    return Features(values, label.astype(np.int64))
