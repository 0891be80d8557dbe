"""Files of a cell that are no longer what was written: cut short, overwritten, or with bits that turned.

Only the form is looked at here, whether a file is whole; `bench.judge.verify` asks whether the numbers fit together.
"""

from __future__ import annotations

import csv
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from bench.errors import StoreError
from bench.store.parts.files import read
from bench.store.parts.record import CellRecord
from bench.store.schema import CHECKPOINT, CURVES, EPOCHS, FEATURES, ROWS, SAMPLES
from bench.store.state import look

#: how each file comes back
MENDS = {
    SAMPLES: "restore it or run the cell again.",
    ROWS: "run the cell again, which counts the bits again.",
    CURVES: "restore it, or move the cell's folder away and run the cell again.",
    FEATURES: "remove it and run the cell again with --features.",
    CHECKPOINT: "remove it; a run that needs the weights trains them again.",
}


def hurt(folder: Path) -> dict[str, str]:
    """File name -> one sentence with the mend, for each file of a cell's folder that is not whole.

    A damaged cell.json is left to who reads it. Raises NewerSchemaError, and KeyError for a cell.json without its data.
    """
    return {name: f"{name} {what}; {MENDS[name]}" for name, what in _found(folder)}


def hurt_prefixes(folder: Path) -> list[str]:
    """Names of the shared states that are not whole."""
    return [file.name for file in sorted(folder.glob("*.pt")) if not _archive_is_whole(file)]


def _found(folder: Path) -> Iterator[tuple[str, str]]:
    state = look(folder)
    if folder / SAMPLES in state.damaged:
        yield SAMPLES, "is damaged"
    if (folder / ROWS).exists() and not (folder / SAMPLES).exists():
        yield SAMPLES, "is missing"
    if not state.rows:
        there = (folder / ROWS).exists()
        yield (
            ROWS,
            "is damaged: it lacks whole rows of what was evaluated, or is not what was written"
            if there
            else "is missing",
        )
    if state.curves and not _epochs_are_whole(folder / CURVES, state.cell):
        yield CURVES, "is damaged: it has not one whole line an epoch"
    for name in (FEATURES, CHECKPOINT):
        if (folder / name).exists() and not _archive_is_whole(folder / name):
            yield name, "is damaged"


def _epochs_are_whole(path: Path, cell: CellRecord | None) -> bool:
    """Whether the lines count the epochs from 0 to the last of the training, each with a field a column."""
    try:
        text = read(path).decode("utf-8")
        head, *lines = list(csv.reader(text.splitlines()))
        counted = [int(line[0]) for line in lines]
    except (OSError, StoreError, ValueError, IndexError, csv.Error):
        return False
    known = cell.stages["train"].epochs if cell and "train" in cell.stages else None
    trained = len(lines) if known is None else known
    form = text.endswith("\n") and set(EPOCHS) <= set(head) and all(len(line) == len(head) for line in lines)
    return form and head[0] == EPOCHS[0] and counted == list(range(trained))


def _archive_is_whole(path: Path) -> bool:
    """Whether every member of a zip archive, as NumPy and torch write them, has the checksum it was given."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, EOFError, ValueError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error):
        return False
