"""What is really in a cell's folder: read before anything is planned or done, so both see the same.

cell.json says what was done; the files say whether it is still there. Nothing is changed here.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import NewerSchemaError, StoreError, UnreadableError
from bench.store import query
from bench.store.folders import read_cell
from bench.store.rows import counted
from bench.store.schema import CELL, CHECKPOINT, CURVES, FEATURES, ROWS, SAMPLES


@dataclass(frozen=True)
class State:
    """`cell`: cell.json with only those evaluations whose bits are there, or None where there is none to be read.

    `rows`: whether per_class.csv holds every row of them. `damaged`: files that are there and cannot be read.
    """

    cell: dict[str, Any] | None = None
    rows: bool = True
    checkpoint: bool = False
    curves: bool = False
    features: bool = False
    damaged: tuple[Path, ...] = ()


def look(path: Path) -> State:
    """The state of a cell's folder, which need not exist. Raises NewerSchemaError, UnreadableError."""
    damaged: list[Path] = []
    try:
        cell = read_cell(path) if (path / CELL).exists() else None
    except (NewerSchemaError, UnreadableError):
        raise
    except StoreError:
        cell = None
        damaged.append(path / CELL)
    try:
        bits = query.samples(path).keys()
    except UnreadableError:
        raise
    except StoreError:
        bits = dict[str, Any]().keys()
        damaged.append(path / SAMPLES)
    if cell is not None:
        kept = {key: facts for key, facts in cell.get("evaluations", {}).items() if key in bits}
        cell = {"stages": {}, "flags": [], **cell, "evaluations": kept}
    there = {name: (path / name).exists() for name in (CHECKPOINT, CURVES, FEATURES)}
    return State(
        cell, cell is None or _rows_are_whole(path / ROWS, cell), there[CHECKPOINT], there[CURVES], there[FEATURES],
        tuple(damaged),
    )  # fmt: skip


def _rows_are_whole(path: Path, cell: Mapping[str, Any]) -> bool:
    """Whether the table has one row a class, with its counts, of every evaluation."""
    wanted = {tuple(key.partition("/")[::2]) for key, f in cell["evaluations"].items() if counted(f)}
    if not wanted:
        return True
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        whole = [(r["test_split"], r["attack"]) for r in rows if int(r["n"]) >= int(r["correct"]) >= 0]
    except PermissionError as error:
        raise UnreadableError.of(path) from error
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return False
    found, classes = Counter(whole), len(cell["data"]["class_names"])
    return len(whole) == len(rows) and all(found[pair] == classes for pair in wanted)
