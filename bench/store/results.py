"""A results folder read once, with everything that can be checked without making it again: the way every verb reads.

    cells      the record of every cell that is what it says, without what is stale beside newer ones
    rows       the counts of their evaluations, columns of `schema.PER_CLASS`
    samples    the bits of one of them
    problems   what was left out and why, one sentence each

A cell counts when its folder, its id and its specification are one, its record is as it was sealed, and its rows are
those that were written (by their mark) or follow from its bits. Where neither mark nor bits are kept, the rows must be
those of the record: every class of every evaluation once, with the images that there are of it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import NewerSchemaError, StoreError
from bench.store import query
from bench.store.bulk import gathering
from bench.store.counts import complaint as impossible
from bench.store.folders import read_record
from bench.store.lease import held
from bench.store.parts import bits
from bench.store.parts.files import mark, read
from bench.store.parts.record import CellRecord, Key, complaint
from bench.store.provenance.inputs import fresh
from bench.store.rows import WORST, build_rows, rows_text, with_inherited
from bench.store.schema import CELL, LATER, PER_CLASS, ROWS, SAMPLES
from bench.store.table import parse, whole

MEND = "restore it, or move the cell's folder away and run the cell again"
#: times that a cell under way is looked at until its files fit together, and seconds between
TRIES, PAUSE = 5, 0.05
#: tables that are parsed at once: more at once would hold every text twice
BLOCK = 500


@dataclass(frozen=True)
class Stored:
    """One cell as it lies there. `text`: its rows; None where there are none, or none that can be used."""

    folder: Path
    record: CellRecord
    text: str | None = None
    frame: pd.DataFrame | None = None


class Results:
    """One results folder. Raises StoreError when it does not exist or holds cells of a newer schema."""

    @gathering()
    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []
        found = [stored for folder in query.folders(root) if (stored := self._read(folder)) is not None]
        self.cells, stale = fresh([stored.record for stored in found])
        self.rows = with_inherited(_of(self.cells, _joined(found), found), self.cells)
        self.problems += [*stale, *query.headless(root)]
        # the texts are rows by now
        self._found = {stored.record.id: replace(stored, text=None, frame=None) for stored in found}
        self._samples: dict[str, dict[str, np.ndarray]] = {}

    def folder(self, cell: str) -> Path:
        """Where a cell's files are."""
        return self.root / cell

    def must_be_written(self, path: Path) -> None:
        """Raises StoreError where the cell of a file keeps its mark and it is another's now, or gone."""
        stored = self._found.get(path.parent.name)
        known = stored.record.files.get(path.name) if stored else None
        if known is None:
            return
        if not path.exists():
            raise StoreError(f"{path} cannot be used: it is not there any more; {MEND}.")
        if known != mark(read(path)):
            raise StoreError(f"{path} cannot be used: it is not what was written; {MEND}.")

    def samples(self, name: str) -> dict[str, np.ndarray]:
        """The bits of a cell, read once. Raises StoreError, which stays one of the problems, where they do not fit."""
        if name not in self._samples:
            path = self.folder(name) / SAMPLES
            try:
                found = query.samples(self.folder(name))
                if found and (wrong := bits.complaint(self._found[name].record, found)):
                    raise StoreError(f"{path} cannot be used ({wrong}); {MEND}.")
            except StoreError as error:
                if str(error) not in self.problems:
                    self.problems.append(str(error))
                raise
            self._samples[name] = found
        return self._samples[name]

    def _read(self, folder: Path) -> Stored | None:
        """A cell that is what it says; what is wrong becomes a problem."""
        for left in reversed(range(TRIES)):
            wrong, stored = look_at(folder)
            if not wrong or not left or not held(folder):  # whoever works there is between two files
                break
            time.sleep(PAUSE)
        self.problems += [wrong] if wrong else []
        return stored


def opened(store: Path | Results) -> Results:
    """A store that was read already, or that of a folder."""
    return store if isinstance(store, Results) else Results(store)


def look_at(folder: Path) -> tuple[str, Stored | None]:
    """(what is wrong or nothing, the cell as far as it can be used), from its folder alone. Raises NewerSchemaError."""
    try:
        record = read_record(folder)
    except NewerSchemaError:
        raise
    except StoreError as error:
        return str(error), None
    if wrong := complaint(record, folder.name):
        return f"{folder / CELL} cannot be used: {wrong}; {MEND}.", None
    stored = Stored(folder, record)
    try:
        content = read(folder / ROWS)
    except FileNotFoundError:
        return _lacking(stored, Counter()), stored
    except StoreError as error:
        return str(error), stored
    return _with_rows(stored, content)


def _with_rows(stored: Stored, content: bytes) -> tuple[str, Stored]:
    """The cell with its rows, when they are its own."""
    path, cell = stored.folder / ROWS, stored.record
    known = cell.files.get(ROWS)
    try:
        text = content.decode("utf-8")
        if known is not None and known == mark(content):
            return "", Stored(stored.folder, cell, text)
        held_bits = query.samples(stored.folder)
        sound = bool(held_bits) and not bits.complaint(cell, held_bits)
        if sound and any(text == rows_text(cell, held_bits, bare) for bare in (False, True)):
            return "", Stored(stored.folder, cell, text)
        frame = query.read_rows(path)
    except StoreError as error:
        return str(error), stored
    except ValueError as error:
        return f"{path} cannot be read ({error}); {MEND}.", stored
    if wrong := impossible(frame):
        return f"{path} cannot be used: {wrong}; run `bench verify` to find more.", stored
    if wrong := _lacking(stored, Counter(zip(frame["test_split"], frame["attack"], strict=True))):
        return wrong, stored
    if sound:
        fits = with_inherited(frame, [cell]).equals(whole(build_rows(cell, held_bits)))
        wrong = "" if fits else "its rows are not those that its bits give"
    elif known is not None or held_bits:
        wrong = "its rows are not those that were written"
    else:
        wrong = next(_foreign(frame, stored), "")
    if wrong:
        return f"{path} cannot be used: {wrong}; run `bench verify` to find more.", stored
    return "", Stored(stored.folder, cell, None, frame)


def _lacking(stored: Stored, have: Counter[tuple[str, str]]) -> str:
    """What of the evaluations that cell.json says were done has not one row a class."""
    data, path = stored.record.data, stored.folder / ROWS
    classes = len(data.class_names) if data else 0
    wanted: set[tuple[str, str]] = {Key.of(key) for key, facts in stored.record.evaluations.items() if facts.counted}
    wanted |= {pair for pair in have if pair[1] == WORST}
    for split, attack in sorted(wanted):
        if have[split, attack] != classes:
            return f"{path} holds {have[split, attack]} of {classes} rows of {split}/{attack}; {MEND}."
    return ""


def _foreign(frame: pd.DataFrame, stored: Stored) -> Iterator[str]:
    """What in rows without bits is not of this cell's record."""
    data, evaluations = stored.record.data, stored.record.evaluations
    if data is None:
        yield "it has rows and its cell.json knows nothing of its data"
        return
    others = set(frame["cell"]) - {stored.record.id}
    if others:
        yield f"it holds rows of {others.pop()}"
    columns = (frame[name].tolist() for name in ("test_split", "attack", "class_index", "n"))
    for split, attack, index, n in zip(*columns, strict=True):
        key, images = f"{split}/{attack}", data.test_counts.get(split, [])
        if key not in evaluations and attack != WORST:
            yield f"its cell.json knows no evaluation {key}"
        elif index >= len(images):
            yield f"class {index} of {key} is none of its {len(images)} classes"
        elif n != images[index]:
            yield f"class {index} of {key} has {n} images, in its cell.json {images[index]}"


def _joined(found: list[Stored]) -> pd.DataFrame:
    """All rows in the order of cells; tables with one head are parsed together."""
    texts: dict[str, list[str]] = {}
    for stored in found:
        if stored.text:
            head, _, body = stored.text.partition("\n")
            texts.setdefault(head, []).append(body)
    frames = [
        whole(parse("".join([head, "\n", *bodies[at : at + BLOCK]]).encode()))
        for head, bodies in texts.items()
        for at in range(0, len(bodies), BLOCK)
    ]
    frames += [stored.frame for stored in found if stored.frame is not None]
    if not frames:
        kinds = PER_CLASS | LATER
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    rows = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    place = {stored.record.id: i for i, stored in enumerate(found)}
    places = rows["cell"].map(place).to_numpy(np.int64)
    if np.all(np.diff(places) >= 0):
        return rows
    order = np.argsort(places, kind="stable")
    return rows.iloc[order].reset_index(drop=True)


def _of(cells: list[CellRecord], frame: pd.DataFrame, found: list[Stored]) -> pd.DataFrame:
    """The rows of what these cells were evaluated with. The worst case over more than that is none of theirs."""
    before = {stored.record.id: len(stored.record.evaluations) for stored in found}
    whole = {cell.id for cell in cells if len(cell.evaluations) == before[cell.id]}
    if len(whole) == len(found):
        return frame
    known = {(cell.id, *Key.of(key)) for cell in cells for key in cell.evaluations}
    rows = zip(frame["cell"], frame["test_split"], frame["attack"], strict=True)
    # an array: of no rows a list would be a choice of no columns
    keep = np.array([row in known or (row[2] == WORST and row[0] in whole) for row in rows], dtype=bool)
    return frame[keep].reset_index(drop=True)
