"""From a results folder to data frames. Reads only; imports no torch.

rows(root)    one line an attack, test split and class, columns of `schema.PER_CLASS`
cells(root)   the cell.json of every folder
damaged(root) what could not be read, one sentence each
load(root)    all three at once, each file read once
curves(folder), samples(folder)   one cell's epochs and per-image bits
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.errors import NewerSchemaError, StoreError, UnreadableError
from bench.store.folders import open_root, read_cell
from bench.store.inputs import fresh
from bench.store.rows import WORST, with_inherited
from bench.store.schema import CELL, CURVES, PER_CLASS, ROWS, SAMPLES


def folders(root: Path) -> list[Path]:
    """Folders of the store that hold a cell, by name. Raises StoreError when `root` is no folder."""
    if root.is_file():
        raise StoreError(f"{root} is a file, not a results folder; give the folder that holds the cells.")
    return sorted(p.parent for p in open_root(root).glob(f"*/{CELL}"))


def cells(root: Path) -> list[dict[str, Any]]:
    """Every readable cell.json, by cell id, without what is stale beside newer ones (see `bench.store.inputs`).

    A newer schema raises StoreError; damaged ones are left to `damaged`.
    """
    return fresh([cell for _, cell, problem in _read(root) if cell is not None and not problem])[0]


def damaged(root: Path) -> list[str]:
    """One sentence for each file of the store that cannot be read."""
    return load(root).problems


def _read(root: Path) -> Iterator[tuple[Path, dict[str, Any] | None, str]]:
    for folder in folders(root):
        try:
            yield folder, read_cell(folder), ""
        except NewerSchemaError:
            raise
        except StoreError as error:
            yield folder, None, str(error)


class Loaded(NamedTuple):
    """A whole store in one pass: what `rows`, `cells` and `damaged` give."""

    rows: pd.DataFrame
    cells: list[dict[str, Any]]
    problems: list[str]


def load(root: Path) -> Loaded:
    """Everything of a results folder, each file read once. Raises StoreError as `rows`."""
    found = list(_read(root))
    paths = [f / ROWS for f, _, problem in found if not problem and (f / ROWS).exists()]
    frame, problems = _read_many(paths)
    unreadable = [problem for _, _, problem in found if problem]
    readable = [(f, c) for f, c, problem in found if c is not None and not problem]
    frame, short = _without_short(frame, [(f, c) for f, c in readable if f / ROWS not in problems])
    current, stale = fresh([c for _, c in readable])
    frame = with_inherited(_of(current, frame, readable) if stale else frame, current)
    return Loaded(frame, current, [*unreadable, *problems.values(), *short, *stale])


def _of(cells: list[dict[str, Any]], frame: pd.DataFrame, all_: list[tuple[Path, dict[str, Any]]]) -> pd.DataFrame:
    """The rows of what these cells were evaluated with. The worst case over more than that is none of theirs."""
    before = {cell["id"]: len(cell.get("evaluations", {})) for _, cell in all_}
    whole = {cell["id"] for cell in cells if len(cell.get("evaluations", {})) == before[cell["id"]]}
    known = {(cell["id"], *key.split("/", 1)) for cell in cells for key in cell.get("evaluations", {})}
    rows = zip(frame["cell"], frame["test_split"], frame["attack"], strict=True)
    return frame[[row in known or (row[2] == WORST and row[0] in whole) for row in rows]].reset_index(drop=True)


def _without_short(frame: pd.DataFrame, found: list[tuple[Path, dict[str, Any]]]) -> tuple[pd.DataFrame, list[str]]:
    """The rows of whole tables, and a sentence for each table that lacks rows of what its cell.json says was done."""
    counted = frame[frame["n"].notna() & frame["correct"].notna()]
    sizes = counted.groupby(["cell", "test_split", "attack"], sort=False).size().to_dict()
    problems, short = [], set[str]()
    for folder, cell in found:
        classes = len(cell.get("data", {}).get("class_names", ()))
        for key in cell.get("evaluations", {}):
            split, _, label = key.partition("/")
            have = sizes.get((cell["id"], split, label), 0)
            if have != classes:
                short.add(cell["id"])
                problems.append(
                    f"{folder / ROWS} holds {have} of {classes} rows of {key}; restore it or run the cell again."
                )
                break
    return (frame[~frame["cell"].isin(short)].reset_index(drop=True) if short else frame), problems


def _read_many(paths: list[Path]) -> tuple[pd.DataFrame, dict[Path, str]]:
    """(all rows, a sentence for each file that cannot be read): parsed at once, one by one only when that fails."""
    header = ",".join(PER_CLASS) + "\n"
    try:
        texts = [path.read_text(encoding="utf-8") for path in paths]
        if texts and all(t.startswith(header) and t.endswith("\n") for t in texts):
            return _parse(io.StringIO(header + "".join(t[len(header) :] for t in texts))), {}
    except (OSError, ValueError):
        pass  # the file by file reading below names the one
    frames, problems = [], dict[Path, str]()
    for path in paths:
        try:
            frames.append(read_rows(path))
        except StoreError as error:
            problems[path] = str(error)
    if not frames:
        return pd.DataFrame({k: pd.Series(dtype=v) for k, v in PER_CLASS.items()}), problems
    return pd.concat(frames, ignore_index=True), problems


def _parse(where: Path | io.StringIO) -> pd.DataFrame:
    return pd.read_csv(where, dtype=dict(PER_CLASS), keep_default_na=False,
                       na_values={k: [""] for k, v in PER_CLASS.items() if v != "string"})  # fmt: skip


def read_rows(path: Path) -> pd.DataFrame:
    """One per_class.csv. Raises StoreError when a column is missing or a value has the wrong type."""
    try:
        frame = _parse(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it or run the cell again.") from error
    missing = [c for c in PER_CLASS if c not in frame.columns]
    if len(missing) == len(PER_CLASS) and path.name != ROWS:
        raise StoreError(f"{path} is a file, not a results folder, and no per_class.csv; give one of these.")
    if missing:
        raise StoreError(f"{path} lacks the column '{missing[0]}'; it is not a per_class.csv of this version.")
    return frame[list(PER_CLASS)]


def rows(root: Path) -> pd.DataFrame:
    """All rows of a results folder (or of one per_class.csv given as `root`), in the order of cell ids.

    Unreadable files are left out here and named by `damaged`. Raises StoreError when `root` does not exist or
    holds cells of a newer schema.
    """
    return read_rows(root) if root.is_file() else load(root).rows


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
        return pd.read_csv(path) if path.exists() else pd.DataFrame()
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it or move it away.") from error


def samples(folder: Path) -> dict[str, np.ndarray]:
    """per_sample.npz of a cell as arrays by key, empty when there is none. Raises StoreError when it is damaged."""
    path = folder / SAMPLES
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except PermissionError as error:
        raise UnreadableError.of(path) from error
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it or run the cell again.") from error
