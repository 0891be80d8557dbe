"""Two copies of one cell, or of one tuning: what would be lost if one took the other's place.

What was measured decides: evaluations by the marks of their bits, their audits and counts, curves, features. Times,
device and history may differ.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import StoreError
from bench.store.folders import as_record, read_record
from bench.store.parts.bits import mark
from bench.store.parts.files import read
from bench.store.parts.record import CellRecord
from bench.store.parts.tunings import Tuning
from bench.store.query import samples
from bench.store.rows import WORST
from bench.store.schema import CELL, ROWS


class OtherError(StoreError):
    """A cell or tuning is there already, with what the one that comes lacks or has otherwise."""


@dataclass(frozen=True)
class Copy:
    """A cell's record, its table (empty where there is none), and the marks of its bits by evaluation, where known."""

    record: CellRecord
    table: bytes
    marks: Mapping[str, str | None]

    @classmethod
    def of(cls, folder: Path) -> Copy:
        """From its folder. Raises as `read_record`, and StoreError where its bits are not marked and cannot be read."""
        record = read_record(folder)
        marks = {key: facts.bits for key, facts in record.evaluations.items()}
        if None in marks.values():  # an older cell: what its marks would be
            bits = samples(folder)
            marks = {key: known or (mark(bits, key) if key in bits else None) for key, known in marks.items()}
        return cls(record, read(folder / ROWS) if (folder / ROWS).exists() else b"", marks)

    @classmethod
    def packed(cls, content: Mapping[str, bytes]) -> Copy:
        """From its files by name. Raises StoreError where they are of no cell that can be read here."""
        try:
            record = as_record(json.loads(content[CELL]), f"its {CELL}")
        except (ValueError, RecursionError) as error:
            raise StoreError(f"its {CELL} cannot be read ({error}); export it again.") from error
        return cls(record, content.get(ROWS, b""), {key: facts.bits for key, facts in record.evaluations.items()})


def losses(there: Copy, coming: Copy) -> list[str]:
    """What one copy of a cell holds and another lacks or has otherwise: evaluations by their keys, and the rest."""
    mine, other = there.record, coming.record
    found = [key for key in mine.evaluations if not _same(key, there, coming)]
    found += [key for key in _miscounted(there.table, coming.table) if key not in found]
    found += [f"curve of {attack}" for attack in mine.tracked if attack not in other.tracked]
    found += ["features"] if mine.features and not other.features else []
    found += ["status done"] if mine.status == "done" != other.status else []
    return found


def begins(there: Tuning, coming: Tuning) -> bool:
    """Whether one tuning goes on from another: it has all of its trials, as they are, and perhaps more."""
    return coming.trials[: len(there.trials)] == there.trials


def _same(key: str, there: Copy, coming: Copy) -> bool:
    """Whether an evaluation here gave the same there; bits without a mark on one side are left to the counts."""
    if key not in coming.marks or there.record.evaluations[key].audit != coming.record.evaluations[key].audit:
        return False
    one, other = there.marks[key], coming.marks[key]
    return one == other or None in (one, other)


def _miscounted(there: bytes, coming: bytes) -> list[str]:
    """Evaluations that the table here counts and another lacks or counts otherwise; none without another table."""
    if not coming or there == coming:
        return []
    others = _counts(coming)
    return [key for key, counts in _counts(there).items() if others.get(key) != counts]


def _counts(table: bytes) -> dict[str, set[tuple[str | None, ...]]]:
    """Evaluation -> its (class, images, correct) as text; the worst case follows from the others, so it is left out."""
    found: dict[str, set[tuple[str | None, ...]]] = {}
    try:
        for row in csv.DictReader(io.StringIO(table.decode(errors="replace"))):
            if row.get("attack") not in (None, WORST):
                counts = row.get("class_index"), row.get("n"), row.get("correct")
                found.setdefault(f"{row.get('test_split')}/{row['attack']}", set()).add(counts)
    except csv.Error:  # damaged: it is derived from the bits, which are compared by their marks
        return {}
    return found
