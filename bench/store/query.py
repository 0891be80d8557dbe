"""One file of a results folder at a time, as a data frame or arrays. Reads only; imports no torch.

folders(root), find(root, prefix)   where cells are
read_rows(path)                     one line an attack, test split and class, columns of `schema.PER_CLASS`
curves(folder), samples(folder)     one cell's epochs and per-image bits

A whole folder, with everything checked, is `bench.store.results`.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import StoreError
from bench.store.folders import open_root
from bench.store.parts.arrays import read_arrays
from bench.store.parts.files import read
from bench.store.schema import CELL, CURVES, PER_CLASS, ROWS, SAMPLES
from bench.store.table import parse, whole


def folders(root: Path) -> list[Path]:
    """Folders of the store that hold a cell, by name. Raises StoreError when `root` is no folder."""
    if root.is_file():
        raise StoreError(f"{root} is a file, not a results folder; give the folder that holds the cells.")
    return sorted(p.parent for p in open_root(root).glob(f"*/{CELL}"))


def headless(root: Path) -> list[str]:
    """One sentence for each folder that holds counts and no cell.json: nobody knows what they are of."""
    found = [root / e.name for e in os.scandir(root) if e.is_dir() and not os.path.exists(f"{e.path}/{CELL}")]  # noqa: PTH110
    return [
        f"{folder} holds counts and no {CELL} that can be read; restore it, or move the folder away."
        for folder in sorted(found)
        if (folder / ROWS).exists() or (folder / SAMPLES).exists()
    ]


def read_rows(path: Path) -> pd.DataFrame:
    """One per_class.csv. Raises StoreError when a column is missing or a value has the wrong type."""
    try:
        frame = parse(read(path))
    except FileNotFoundError as error:
        raise StoreError(f"{path} cannot be read (it is not there); restore it or run the cell again.") from error
    except ValueError as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it or run the cell again.") from error
    missing = [c for c in PER_CLASS if c not in frame.columns]
    if len(missing) == len(PER_CLASS) and path.name != ROWS:
        raise StoreError(f"{path} is a file, not a results folder, and no per_class.csv; give one of these.")
    if missing:
        raise StoreError(f"{path} lacks the column '{missing[0]}'; it is not a per_class.csv of this version.")
    return whole(frame)


def find(root: Path, prefix: str) -> Path:
    """The one folder whose cell id starts or ends with `prefix`. Raises StoreError for none or several."""
    found = [f for f in folders(root) if f.name.startswith(prefix) or f.name.endswith(prefix)]
    if len(found) != 1:
        if found:
            raise StoreError(f"'{prefix}' fits {len(found)} cells of {root} ({_some(found)}); give more of the id.")
        there = folders(root)
        if not there:
            raise StoreError(f"{root} holds no cell; run `bench run` first or give another folder with --results.")
        raise StoreError(f"no cell of {root} begins or ends with '{prefix}'; give one of its cells: {_some(there)}.")
    return found[0]


def _some(found: list[Path]) -> str:
    """The first names, and how many more."""
    names = ", ".join(f.name for f in found[:5])
    return f"{names} and {len(found) - 5} more" if len(found) > 5 else names


def curves(folder: Path) -> pd.DataFrame:
    """epochs.csv of a cell, empty when there is none. Raises StoreError when it is damaged."""
    path = folder / CURVES
    try:
        return pd.read_csv(io.BytesIO(read(path)))
    except FileNotFoundError:
        return pd.DataFrame()
    except ValueError as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it or move it away.") from error


def samples(folder: Path) -> dict[str, np.ndarray]:
    """per_sample.npz of a cell as arrays by key, empty when there is none. Raises StoreError when it is damaged."""
    try:
        return read_arrays(folder / SAMPLES)
    except FileNotFoundError:
        return {}
