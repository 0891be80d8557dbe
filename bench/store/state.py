"""What is really in a cell's folder: read before anything is planned or done, so both see the same.

cell.json says what was done; the files say whether it is still there, and whether it is what was written: nothing is
ever derived from bits that were changed. Nothing in the folder is changed here.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.errors import NewerSchemaError, StoreError, UnreadableError
from bench.store import lease, query
from bench.store.folders import read_record
from bench.store.parts import bits
from bench.store.parts.files import mark, read
from bench.store.parts.record import CellRecord, Key, complaint
from bench.store.provenance.inputs import MEND
from bench.store.schema import CELL, CHECKPOINT, CURVES, FEATURES, ROWS, SAMPLES

#: the columns of a table that say whether it is whole
COLUMNS = ("test_split", "attack", "class_index", "n", "correct")


class Line(NamedTuple):
    """What a row of a table says in COLUMNS, as text."""

    test_split: str
    attack: str
    class_index: str
    n: str
    correct: str

    @property
    def of(self) -> tuple[str, str]:
        """The test split and the attack that it counts."""
        return self.test_split, self.attack


Lines = Sequence[Line]


@dataclass(frozen=True)
class State:
    """`cell`: cell.json, only with those evaluations whose bits are there; None where there is none to be read.

    `rows`: whether per_class.csv holds every row of them and is what was written. `damaged`: files that are there and
    cannot be read. `changed`: why what can be read is not what was written, in one sentence with the mend; or nothing.
    `interrupted`: cell.json says that it is being worked on, and no other process is.
    """

    cell: CellRecord | None = None
    rows: bool = True
    checkpoint: bool = False
    curves: bool = False
    features: bool = False
    damaged: tuple[Path, ...] = ()
    changed: str = ""
    interrupted: bool = False


def look(path: Path) -> State:
    """The state of a cell's folder, which need not exist. Raises NewerSchemaError, UnreadableError."""
    damaged: list[Path] = []
    try:
        cell = read_record(path) if (path / CELL).exists() else None
    except (NewerSchemaError, UnreadableError):
        raise
    except StoreError:
        cell = None
        damaged.append(path / CELL)
    try:
        found = query.samples(path)
    except UnreadableError:
        raise
    except StoreError:
        found = {}
        damaged.append(path / SAMPLES)
    whole, changed = True, ""
    if cell is not None:
        table, changed = _Table(path / ROWS, cell), complaint(cell, path.name)
        cell = cell.only(found)
        changed = _said(path, changed or _changed(cell, found, table))
        whole = table.written or _are_whole(table.lines, cell)
    there = {name: (path / name).exists() for name in (CHECKPOINT, CURVES, FEATURES)}
    return State(
        cell,
        whole,
        there[CHECKPOINT],
        there[CURVES],
        there[FEATURES],
        tuple(damaged),
        changed,
        cell is not None and cell.status == "running" and _is_left(path),
    )


def _is_left(path: Path) -> bool:
    """Whether nobody works in a folder but this process."""
    return lease.over(path / CELL) is not None or not lease.held(path)


class _Table:
    """The table of a cell. `written`: it is the one that its sealed record was written with, so it is whole."""

    def __init__(self, path: Path, cell: CellRecord) -> None:
        self.content, self.written = b"", False
        try:
            content = read(path)
        except UnreadableError:
            raise
        except (OSError, StoreError):
            return
        known = cell.files.get(ROWS)
        if known is None or known == mark(content):
            self.content, self.written = content, known is not None and bool(cell.seal)

    @cached_property
    def lines(self) -> Lines | None:
        """The rows as text; None where there are none that can be read, or others than were written."""
        try:
            head, *rows = csv.reader(io.StringIO(self.content.decode("utf-8")))
            columns = itemgetter(*(head.index(name) for name in COLUMNS))
            return [Line._make(columns(row)) for row in rows if row]
        except (ValueError, IndexError, csv.Error):
            return None


def _are_whole(lines: Lines | None, cell: CellRecord) -> bool:
    """Whether the table has one row a class, with its counts, of every evaluation."""
    wanted = {Key.of(key) for key, facts in cell.evaluations.items() if facts.counted}
    if not wanted or cell.data is None:
        return not wanted
    try:
        whole = [line.of for line in lines or () if int(line.n) >= int(line.correct) >= 0]
    except ValueError:
        return False
    have, classes = Counter(whole), len(cell.data.class_names)
    return lines is not None and len(whole) == len(lines) and all(have[pair] == classes for pair in wanted)


def _said(path: Path, why: str) -> str:
    return f"cell {path.name} was changed: {why}; restore it, or {MEND}." if why else ""


def _changed(cell: CellRecord, found: bits.Bits, table: _Table) -> str:
    """Why the bits of a cell (`found`) or its rows are not what was written."""
    why = bits.complaint(cell, found)
    without = [key for key, facts in cell.evaluations.items() if facts.bits is None and facts.counted]
    if why or not without or not (lines := table.lines):
        return why
    differ = [key for key in without if (own := _stored(lines, key)) and own != _counts(found, key, len(own))]
    return f"the bits of {differ[0]} are not those that its rows count" if differ else ""


def _counts(found: bits.Bits, key: str, classes: int) -> list[int]:
    label = found[f"{Key.of(key).split}/label"]
    return [int(k) for k in np.bincount(label[found[key] == 1], minlength=classes)]


def _stored(lines: Lines, key: str) -> list[int]:
    """Correct images a class as the rows of an evaluation say; empty where they cannot be read."""
    try:
        own = {int(line.class_index): int(line.correct) for line in lines if line.of == Key.of(key)}
    except ValueError:
        return []
    return [own[i] for i in sorted(own)]
