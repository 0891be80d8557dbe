"""A store read again: every hash and every derived number recomputed from what it was derived from.

    cell id        the hash of the specification in cell.json, and the folder's name
    seeds          the streams' seeds from the cell's own seed
    files          none is cut short or overwritten (`bench.judge.intact`)
    bits           zeros and ones, one an image; indices distinct, labels within the classes
    counts         test images a class in bits, rows and cell.json; correct images a class in bits and rows
    rows           every other column of per_class.csv from cell.json; the worst case from the bits
    order          no l_inf attack leaves more images correct than no attack does, unless it is flagged
    store          cells that used the same data carry the same data hash
    code           plug-ins are what they were when the cell was made, and the same in all cells (`bench.store.inputs`)

With `data`, the images are read again too, and their hashes and the choice of test images are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.config import BENCHMARK_VERSION, CellSpec, cell_from_plain
from bench.errors import BenchError, StoreError
from bench.judge.intact import hurt
from bench.seeding import stream_seed
from bench.store import query
from bench.store.folders import read_cell
from bench.store.inputs import MEND, changed_code, fresh
from bench.store.lease import held
from bench.store.rows import WORST, build_rows
from bench.store.schema import CELL, PER_CLASS, REACHED, ROWS, SAMPLES, STATUSES

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
    """All problems of a store and how much was looked at. `busy`: folders left alone, for somebody works in them."""

    problems: tuple[Problem, ...]
    cells: int
    numbers: int
    busy: tuple[str, ...] = ()


def verify(root: Path, data: Reader | None = None) -> Report:
    """Look at every folder of a store. Raises StoreError when `root` does not exist or holds no cell."""
    problems: list[Problem] = []
    hashes: dict[tuple[Any, ...], list[tuple[str, str]]] = {}
    numbers, whole = 0, list[dict[str, Any]]()
    folders = query.folders(root)
    if not folders:
        raise StoreError(f"{root} holds no cell; run `bench run` first or give another folder with --results.")
    busy = tuple(folder.name for folder in folders if held(folder))
    for folder in folders:
        if folder.name in busy:
            continue
        damage, found, rows = dict[str, str](), [], 0
        try:
            cell = read_cell(folder)
            spec = cell_from_plain(cell["spec"])
            if cell.get("data"):
                hashes.setdefault(_data_key(spec, cell), []).append((folder.name, cell["data"]["data_hash"]))
            found += list(_identity(folder, cell, spec))
            whole.append(cell)
            if why := changed_code(cell):
                found.append(f"{why}; {MEND}")
            damage = hurt(folder)
            if not damage.keys() & {ROWS, SAMPLES}:  # nothing can be derived from what is not whole
                more, rows = _evaluations(folder, cell)
                found += more
                if data is not None and cell.get("data"):
                    found += list(_read_again(folder, cell, data(spec)))
        except BenchError as error:
            found.append(str(error))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            found.append(f"{CELL} cannot be understood ({type(error).__name__}: {error}); restore it, or move the "
                         "folder away and run the cell again.")  # fmt: skip
        numbers += rows
        problems += [Problem(folder.name, message, name) for name, message in damage.items()]
        problems += [Problem(folder.name, message) for message in found]
    problems += [Problem(why.partition(" ")[0], why) for why in fresh(whole)[1]]
    for group in hashes.values():
        for name, value in group[1:]:
            if value != group[0][1]:
                problems.append(Problem(name, f"data hash {value} differs from {group[0][1]} of {group[0][0]}, "
                                              "which used the same data set, ratio and selection"))  # fmt: skip
    return Report(tuple(problems), len(folders) - len(busy), numbers, busy)


def _data_key(spec: CellSpec, cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return spec.dataset, cell["data"]["source"], spec.ir, spec.selection, spec.class_order, spec.limit


def _identity(folder: Path, cell: Mapping[str, Any], spec: CellSpec) -> Iterator[str]:
    if cell["benchmark"] != BENCHMARK_VERSION:
        yield (f"written by benchmark version {cell['benchmark']}, this is {BENCHMARK_VERSION}; "
               "its id cannot be recomputed")  # fmt: skip
    elif spec.id != cell["id"]:
        yield f"cell.json says id {cell['id']}, its specification hashes to {spec.id}"
    if folder.name != cell["id"]:
        yield f"the folder is called {folder.name}, its cell.json says {cell['id']}"
    if cell["status"] not in STATUSES:
        yield f"status '{cell['status']}' is none of {', '.join(STATUSES)}"
    for stream, seed in cell.get("seeds", {}).items():
        if seed != stream_seed(spec.seed, stream):
            yield f"stream '{stream}' has seed {seed}, seed {spec.seed} gives {stream_seed(spec.seed, stream)}"


def _evaluations(folder: Path, cell: Mapping[str, Any]) -> tuple[list[str], int]:
    """(problems of the bits and rows, how many rows were recomputed)."""
    evaluations = cell.get("evaluations", {})
    bits = query.samples(folder)
    if not evaluations and not bits and not (folder / ROWS).exists():
        return (["status is done, but nothing was evaluated"] if cell["status"] == "done" and _wanted(cell) else []), 0
    found = list(_bits(evaluations, bits, cell["data"]))
    if found:  # rows cannot be derived from bits that do not fit themselves
        return found, 0
    rows = query.read_rows(folder / ROWS)
    found += _counts(rows, bits, cell["data"])
    found += _columns(rows, build_rows(cell, bits))
    found += _order(evaluations, bits)
    return found, len(rows)


def _wanted(cell: Mapping[str, Any]) -> bool:
    return bool(cell.get("stages", {}).keys() - {"train", "curves"})


def _bits(evaluations: Mapping[str, Any], bits: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> Iterator[str]:
    """The bits themselves, and the number of images a class against cell.json."""
    classes = len(data["class_names"])
    for split in dict.fromkeys(key.partition("/")[0] for key in (*evaluations, *bits)):
        own = {key for key in evaluations if key.startswith(f"{split}/")}
        stages = {key + REACHED for key in own if "audit" in evaluations[key]}
        index, label = bits.get(f"{split}/index"), bits.get(f"{split}/label")
        if index is None or label is None:
            yield f"per_sample.npz has no indices or labels of the {split} test split"
            continue
        if len(np.unique(index)) != len(index) or len(index) != len(label):
            yield f"per_sample.npz: the {split} test split has not one distinct index for each of {len(label)} labels"
            continue
        if len(label) and not 0 <= int(label.min()) <= int(label.max()) < classes:
            yield f"per_sample.npz: labels of the {split} test split reach {label.max()}, there are {classes} classes"
            continue
        counted, stored = np.bincount(label, minlength=classes).tolist(), list(data["test_counts"][split])
        if counted != stored:
            yield f"{split} test images a class: {counted} in per_sample.npz, {stored} in cell.json"
        for key in sorted(own):
            if key not in bits:
                yield f"per_sample.npz has no bits of {key}"
            elif len(bits[key]) != len(label) or not np.isin(bits[key], (0, 1)).all():
                yield f"per_sample.npz: {key} is not one bit for each of {len(label)} images"
        for key in sorted(k for k in bits if k.startswith(f"{split}/")):
            if key not in own | stages | {f"{split}/index", f"{split}/label"}:
                yield f"per_sample.npz has bits of {key}, cell.json knows no such evaluation"


def _counts(rows: pd.DataFrame, bits: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> Iterator[str]:
    """N and correct of every row, counted from the bits without the code that wrote them."""
    for (split, attack), part in rows.groupby(["test_split", "attack"], sort=False):
        key = f"{split}/{attack}"
        if f"{split}/label" not in bits or (attack != WORST and key not in bits):
            yield f"{ROWS} has rows of {key}, per_sample.npz has no bits of it"
            continue
        label = bits[f"{split}/label"]
        images = np.bincount(label, minlength=len(data["class_names"]))
        correct = None if attack == WORST else np.bincount(label[bits[key] == 1], minlength=len(images))
        rows_of_attack: Any = part.itertuples()
        for row in rows_of_attack:
            where = f"{ROWS}, {key}, class {row.class_index} ({row.class_name})"
            if row.n != images[row.class_index]:
                yield f"{where}: n is {row.n}, the bits hold {images[row.class_index]} images"
            if correct is not None and row.correct != correct[row.class_index]:
                yield f"{where}: correct is {row.correct}, the bits count {correct[row.class_index]}"


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


def _order(evaluations: Mapping[str, Any], bits: Mapping[str, np.ndarray]) -> Iterator[str]:
    clean = {key.partition("/")[0]: key for key, facts in evaluations.items() if facts.get("norm") == "none"}
    for key, facts in evaluations.items():
        base = clean.get(key.partition("/")[0])
        if base is None or facts.get("norm") != "linf" or facts.get("flags"):
            continue
        standing, without = int(bits[key].sum()), int(bits[base].sum())
        if standing > without:
            yield f"{key} leaves {standing} images correct, {base} only {without}, and no flag says so"


def _read_again(folder: Path, cell: Mapping[str, Any], read: Mapping[str, Any]) -> Iterator[str]:
    for name in ("data_hash", "subset_hash", "train_counts", "test_counts"):
        stored = cell["data"][name]
        if stored != read[name]:
            yield f"{name} is {stored}, reading the data again gives {read[name]}"
    bits = query.samples(folder)
    for split, index in read["index"].items():
        if f"{split}/index" in bits and not np.array_equal(bits[f"{split}/index"], index):
            yield f"per_sample.npz: the {split} test images are not those that the specification chooses"
