"""A store read again: every hash and every derived number recomputed from what it was derived from.

    cell id        the hash of the specification in cell.json, and the folder's name
    seeds          the streams' seeds from the cell's own seed
    files          none is cut short or overwritten (`bench.judge.intact`), all are what was written (their marks)
    bits           zeros and ones, one an image; indices distinct, labels within the classes
    counts         test images a class in bits, rows and cell.json; correct images a class in bits and rows
    rows           every other column of per_class.csv from cell.json; the worst case from the bits
    order          no l_inf attack leaves more images correct than no attack does, unless it is flagged
    store          cells that used the same data carry the same data hash
    code           plug-ins are what they were when the cell was made, and the same in all cells
                   (`bench.store.provenance.inputs`)

With `data`, the images are read again too, and their hashes and the choice of test images are compared.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.config import BENCHMARK_VERSION, CellSpec
from bench.errors import BenchError, StoreError
from bench.judge.intact import hurt, hurt_prefixes
from bench.seeding import stream_seed
from bench.store import query
from bench.store.folders import read_record
from bench.store.lease import held
from bench.store.parts.bits import complaints, unknown
from bench.store.parts.files import mark, read
from bench.store.parts.record import CellRecord, DataFacts, Key, seal
from bench.store.provenance.inputs import MEND, changed_code, choice, fresh
from bench.store.rows import WORST, build_rows, rows_text
from bench.store.schema import CELL, PER_CLASS, PREFIXES, ROWS, SAMPLES
from bench.store.table import whole

#: What identifies a row within a cell
ROW = ("test_split", "attack", "class_index")
#: Reads a cell's data again: {"data_hash", "subset_hash", "train_counts", "test_counts", "index": {split: indices}}
Reader = Callable[[CellSpec], Mapping[str, Any]]


@dataclass(frozen=True)
class Problem:
    """What does not fit, in which folder, and in which file of it where one alone is wrong."""

    cell: str
    message: str
    file: str = ""


@dataclass(frozen=True)
class Report:
    """All problems of a store and how much was looked at. `busy`: folders left alone, for somebody works in them.

    `unsealed`: cells of older versions without seal and marks; what fits may still have been changed there.
    """

    problems: tuple[Problem, ...]
    cells: int
    numbers: int
    busy: tuple[str, ...] = ()
    unsealed: int = 0


def verify(root: Path, data: Reader | None = None) -> Report:
    """Look at every folder of a store. Raises StoreError when `root` does not exist or holds no cell."""
    folders = query.folders(root)
    if not folders:
        raise StoreError(f"{root} holds no cell; run `bench run` first or give another folder with --results.")
    busy = tuple(folder.name for folder in folders if held(folder))
    looks = [_look(folder, data) for folder in folders if folder.name not in busy]
    cells = [look.cell for look in looks if look.cell]
    problems = [problem for look in looks for problem in look.problems]
    problems += [Problem(why.partition(" ")[0], why) for why in fresh(cells)[1]]
    problems += [Problem(Path(why.partition(" holds")[0]).name, why) for why in query.headless(root)]
    problems += [Problem(PREFIXES, f"{name} is damaged; remove it.", name) for name in hurt_prefixes(root / PREFIXES)]
    problems += _other_data(looks)
    unsealed = sum(not cell.seal for cell in cells)
    return Report(tuple(problems), len(looks), sum(look.numbers for look in looks), busy, unsealed)


@dataclass
class _Look:
    """One folder: its record, where that can be understood, what does not fit, and how many numbers were looked at."""

    folder: Path
    cell: CellRecord | None = None
    damage: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    numbers: int = 0

    @property
    def problems(self) -> list[Problem]:
        """Damaged files first."""
        hurt_files = [Problem(self.folder.name, message, name) for name, message in self.damage.items()]
        return hurt_files + [Problem(self.folder.name, message) for message in self.found]


def _look(folder: Path, data: Reader | None) -> _Look:
    look = _Look(folder)
    try:
        _fill(look, data)
    except BenchError as error:
        look.found.append(str(error))
    except (KeyError, TypeError, ValueError) as error:  # rows of words, or with fewer columns
        look.found.append(
            f"{ROWS} cannot be understood ({type(error).__name__}: {error}); restore it, or move the "
            "folder away and run the cell again."
        )
    return look


def _fill(look: _Look, data: Reader | None) -> None:
    """Everything of a folder, as far as it can be read."""
    folder, cell = look.folder, read_record(look.folder)
    spec = cell.made
    if cell.evaluations and not cell.data:
        raise StoreError(
            f"{CELL} has evaluations and nothing about its data; restore it, or move the folder "
            "away and run the cell again."
        )
    look.cell = cell
    look.found += _identity(folder, cell, spec)
    if why := changed_code(cell):
        look.found.append(f"{why}; {MEND}")
    look.damage = hurt(folder)
    for name, what in _changed(folder, cell):
        look.damage |= {name: what} if name and name not in look.damage else {}
        look.found += [] if name else [what]
    if not look.damage.keys() & {ROWS, SAMPLES}:  # nothing can be derived from what is not whole
        more, look.numbers = _evaluations(folder, cell)
        look.found += more
        if data is not None and cell.data:
            look.found += _read_again(folder, cell.data, data(spec))


def _other_data(looks: Sequence[_Look]) -> Iterator[Problem]:
    """Cells of one choice of images that do not have the data hash of the first of them."""
    first: dict[tuple[Any, ...], tuple[str, str]] = {}
    for look in looks:
        if look.cell and look.cell.data:
            here = look.folder.name, look.cell.data.data_hash
            name, value = first.setdefault((look.cell.data.source, *choice(look.cell.made)), here)
            if here[1] != value:
                yield Problem(
                    here[0],
                    f"data hash {here[1]} differs from {value} of {name}, "
                    "which used the same data set, ratio and selection",
                )


def _identity(folder: Path, cell: CellRecord, spec: CellSpec) -> Iterator[str]:
    if cell.benchmark != BENCHMARK_VERSION:
        yield (
            f"written by benchmark version {cell.benchmark}, this is {BENCHMARK_VERSION}; its id cannot be recomputed"
        )
    elif spec.id != cell.id:
        yield f"cell.json says id {cell.id}, its specification hashes to {spec.id}"
    if folder.name != cell.id:
        yield f"the folder is called {folder.name}, its cell.json says {cell.id}"
    for stream, seed in cell.seeds.items():
        if seed != stream_seed(spec.seed, stream):
            yield f"stream '{stream}' has seed {seed}, seed {spec.seed} gives {stream_seed(spec.seed, stream)}"


def _evaluations(folder: Path, cell: CellRecord) -> tuple[list[str], int]:
    """(problems of the bits and rows, how many rows were recomputed)."""
    bits = query.samples(folder)
    if not cell.evaluations and not bits and not (folder / ROWS).exists():
        return (["status is done, but nothing was evaluated"] if cell.status == "done" and _wanted(cell) else []), 0
    found = [*complaints(cell, bits), *unknown(cell, bits)]
    if found:  # rows cannot be derived from bits that do not fit themselves
        return found, 0
    text = read(folder / ROWS).decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    found += _counts(rows, bits, len(cell.seen.class_names))
    if all(text != rows_text(cell, bits, bare) for bare in (False, True)):
        found += _columns(query.read_rows(folder / ROWS), whole(build_rows(cell, bits)))
    found += _order(cell, bits)
    return found, len(rows)


def _changed(folder: Path, cell: CellRecord) -> Iterator[tuple[str, str]]:
    """(file, what) of what is not as it was written, as far as the cell keeps seal and marks."""
    if cell.seal and cell.seal != seal(cell.document):
        yield "", f"{CELL} is not as it was written: a value in it was changed"
    for name, known in cell.files.items():
        if (folder / name).is_file() and mark(read(folder / name)) != known:
            yield name, f"{name} is not as it was written; restore it, or run the cell again with --retrain."


def _wanted(cell: CellRecord) -> bool:
    return bool(cell.stages.keys() - {"train", "curves"})


def _counts(rows: Sequence[Mapping[str, str]], bits: Mapping[str, np.ndarray], classes: int) -> Iterator[str]:
    """N and correct of every row, counted from the bits without the code that wrote them."""
    groups: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["test_split"], row["attack"]), []).append(row)
    for (split, attack), part in groups.items():
        key = f"{split}/{attack}"
        if f"{split}/label" not in bits or (attack != WORST and key not in bits):
            yield f"{ROWS} has rows of {key}, per_sample.npz has no bits of it"
            continue
        label = bits[f"{split}/label"]
        images = np.bincount(label, minlength=classes)
        correct = None if attack == WORST else np.bincount(label[bits[key] == 1], minlength=len(images))
        for row in part:
            index, n, right = (int(row[name]) for name in ("class_index", "n", "correct"))
            where = f"{ROWS}, {key}, class {index} ({row['class_name']})"
            if not 0 <= index < len(images):
                yield f"{where}: there are {len(images)} classes"
                continue
            if n != images[index]:
                yield f"{where}: n is {n}, the bits hold {images[index]} images"
            if correct is not None and right != correct[index]:
                yield f"{where}: correct is {right}, the bits count {correct[index]}"


def _columns(rows: pd.DataFrame, derived: pd.DataFrame) -> Iterator[str]:
    """Every column against what cell.json and the bits give; counts of an attack are left to `_counts`."""
    stored, wanted = (frame.set_index(list(ROW)) for frame in (rows, derived))
    for key in wanted.index.difference(stored.index):
        yield f"{ROWS} lacks {key[0]}/{key[1]}, class {key[2]}"
    for key in stored.index.difference(wanted.index):
        yield f"{ROWS} has {key[0]}/{key[1]}, class {key[2]}, which cell.json does not account for"
    if stored.index.has_duplicates:
        yield f"{ROWS} has {int(stored.index.duplicated().sum())} rows twice"
        return
    common = wanted.index.intersection(stored.index)
    for column in (name for name in PER_CLASS if name not in ROW):
        have, want = stored.loc[common, column], wanted.loc[common, column]
        wrong = ~((have == want) | (have.isna() & want.isna())).fillna(False).to_numpy(bool)
        worst = np.asarray(common.get_level_values("attack") == WORST, dtype=bool)
        if column in ("n", "correct"):
            wrong &= worst
        if column == "flags":  # a worst case inherits its flags when it is read, whatever was written once
            wrong &= ~(worst & (have == "").to_numpy(bool))
        if wrong.any():
            at: Any = next(iter(common[wrong]))
            more = f" ({int(wrong.sum())} rows)" if wrong.sum() > 1 else ""
            values = f"{column} is {_text(have[at])}, recomputed {_text(want[at])}{more}"
            yield f"{ROWS}, {at[0]}/{at[1]}, class {at[2]}: {values}"


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _order(cell: CellRecord, bits: Mapping[str, np.ndarray]) -> Iterator[str]:
    clean = {Key.of(key).split: key for key, facts in cell.evaluations.items() if facts.norm == "none"}
    for key, facts in cell.evaluations.items():
        base = clean.get(Key.of(key).split)
        if base is None or facts.norm != "linf" or facts.flags:
            continue
        standing, without = int(bits[key].sum()), int(bits[base].sum())
        if standing > without:
            yield f"{key} leaves {standing} images correct, {base} only {without}, and no flag says so"


def _read_again(folder: Path, data: DataFacts, read: Mapping[str, Any]) -> Iterator[str]:
    for name in ("data_hash", "subset_hash", "train_counts", "test_counts"):
        stored = getattr(data, name)
        if stored != read[name]:
            yield f"{name} is {stored}, reading the data again gives {read[name]}"
    bits = query.samples(folder)
    for split, index in read["index"].items():
        if f"{split}/index" in bits and not np.array_equal(bits[f"{split}/index"], index):
            yield f"per_sample.npz: the {split} test images are not those that the specification chooses"
