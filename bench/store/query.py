"""From a results folder to data frames. Reads only; imports no torch.

    rows(root)    one line an attack, test split and class, columns of `schema.PER_CLASS`
    cells(root)   the cell.json of every folder
    damaged(root) what could not be read, one sentence each
    curves(folder), samples(folder)   one cell's epochs and per-image bits
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import StoreError
from bench.store.folders import open_root, read_cell
from bench.store.schema import CELL, CURVES, PER_CLASS, ROWS, SAMPLES


def folders(root: Path) -> list[Path]:
    """Folders of the store that hold a cell, by name. Raises StoreError when `root` does not exist."""
    return sorted(p.parent for p in open_root(root).glob(f"*/{CELL}"))


def cells(root: Path) -> list[dict[str, Any]]:
    """Every readable cell.json, by cell id. A newer schema raises StoreError; damaged ones are left to `damaged`."""
    return [cell for _, cell, problem in _read(root) if cell is not None and not problem]


def damaged(root: Path) -> list[str]:
    """One sentence for each file of the store that cannot be read."""
    problems = [problem for _, _, problem in _read(root) if problem]
    for folder in folders(root):
        if (folder / ROWS).exists():
            try:
                read_rows(folder / ROWS)
            except StoreError as error:
                problems.append(str(error))
    return problems


def _read(root: Path) -> Iterator[tuple[Path, dict[str, Any] | None, str]]:
    for folder in folders(root):
        try:
            yield folder, read_cell(folder), ""
        except StoreError as error:
            if "schema" in str(error):
                raise
            yield folder, None, str(error)


def read_rows(path: Path) -> pd.DataFrame:
    """One per_class.csv. Raises StoreError when a column is missing or a value has the wrong type."""
    try:
        frame = pd.read_csv(path, dtype={k: v for k, v in PER_CLASS.items()}, keep_default_na=False,
                            na_values={k: [""] for k, v in PER_CLASS.items() if v != "string"})
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it or run the cell again.") from error
    missing = [c for c in PER_CLASS if c not in frame.columns]
    if missing:
        raise StoreError(f"{path} lacks the column '{missing[0]}'; it is not a per_class.csv of this version.")
    return frame[list(PER_CLASS)]


def rows(root: Path) -> pd.DataFrame:
    """All rows of a results folder (or of one per_class.csv given as `root`), in the order of cell ids.

    Unreadable files are left out here and named by `damaged`. Raises StoreError when `root` does not exist or
    holds cells of a newer schema.
    """
    if root.is_file():
        return read_rows(root)
    frames = []
    for folder, _, problem in _read(root):
        if not problem and (folder / ROWS).exists():
            try:
                frames.append(read_rows(folder / ROWS))
            except StoreError:
                continue
    if not frames:
        return pd.DataFrame({k: pd.Series(dtype=v) for k, v in PER_CLASS.items()})
    return pd.concat(frames, ignore_index=True)


def find(root: Path, prefix: str) -> Path:
    """The one folder whose cell id starts or ends with `prefix`. Raises StoreError for none or several."""
    found = [f for f in folders(root) if f.name.startswith(prefix) or f.name.endswith(prefix)]
    if len(found) != 1:
        names = ", ".join(f.name for f in found[:5]) or "none"
        raise StoreError(f"'{prefix}' fits {len(found)} cells in {root} ({names}); give more of the id.")
    return found[0]


def curves(folder: Path) -> pd.DataFrame:
    """epochs.csv of a cell, empty when there is none."""
    path = folder / CURVES
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def samples(folder: Path) -> dict[str, np.ndarray]:
    """per_sample.npz of a cell as arrays by key, empty when there is none. Raises StoreError when it is damaged."""
    path = folder / SAMPLES
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it or run the cell again.") from error
