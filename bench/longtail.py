"""The long-tail law and the choice of images: how many of each class, and which ones. NumPy only.

The law (methods.md 1.1): class of rank c (0 = head) keeps n_c = int(n_max * (1/IR) ** (c / (C - 1))) images, truncated.
Which images: every selection orders the members of each class once, and a count takes the first of them. So the
subset of a higher imbalance ratio lies inside that of a lower one.

    seeded             a private stream a class; root seed 0 for every cell, so all seeds of a grid train on the same
                       images; `seeded:K` is another fixed subset
    official-builder   the AT-BSL/RoBal/REAT builder: RandomState(0), classes ascending, in-place shuffle (train split;
                       their test split is the full one, so test images are chosen as `seeded`)
    robustlt:SEED      RobustLT's rule: default_rng(SEED), classes ascending, the ascending indices of each shuffled in
                       place by the one generator (train split; their test split is the full one)
    file:PATH          source indices from a file (`bench data export` writes one)
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError, UsageError, did_you_mean
from bench.paths import in_full
from bench.seeding import numpy_stream
from bench.variants import LARGEST, whole_number

Indices = NDArray[np.int64]
#: what an index file calls a split -> which it is; nothing is chosen for the balanced test split
SPLITS = {"train": "train", "long-tailed": "test", "test": "test", "balanced": ""}
#: what the seed of an order or a selection must be
WHOLE = f"a whole number up to {LARGEST}"
SELECTIONS = ("seeded", "official-builder", "robustlt", "file")


def check_ir(ir: float) -> float:
    """`ir` as a float. Raises UsageError unless it is finite and above 1."""
    if isinstance(ir, bool) or not isinstance(ir, (int, float)) or not math.isfinite(ir) or ir <= 1:
        raise UsageError(f"imbalance ratio {ir!r} is not possible; give a number above 1, as in --irs 10,50.")
    return float(ir)


def counts(n_max: int, ir: float, classes: int, at_least: int = 0) -> list[int]:
    """Images a class from head to tail, none below `at_least`.

    Raises UsageError when IR <= 1, there is one class, or the rarest class stays empty.
    """
    ratio = 1 / check_ir(ir)
    if classes < 2:
        raise UsageError(f"{classes} class cannot be long-tailed; at least 2 are needed.")
    law = [max(at_least, int(n_max * ratio ** (c / (classes - 1)))) for c in range(classes)]
    if law[-1] < 1:
        raise UsageError(f"imbalance ratio {ir:g} leaves the rarest class empty: {_advice(n_max)}")
    return law


def _advice(n_max: int) -> str:
    """What to ask for instead, given the images of a set's smallest class; the largest of a long tail has no more."""
    ratio = next((r for r in (n_max, n_max - 1) if r > 1 and int(n_max * (1 / r)) >= 1), None)  # 49 * (1 / 49) < 1
    if ratio is None:
        return f"the smallest class of the set has {n_max} image, which allows no ratio above 1; use --irs natural."
    return f"it begins with the images of the set's smallest class, only {n_max}; use a ratio of at most {ratio}."


def limited(per_class: Sequence[int], limit: int | None) -> list[int]:
    """Counts scaled so that the largest is at most `limit`, each at least 1: a smaller set of the same imbalance."""
    largest = max(per_class)
    if limit is None or largest <= limit:
        return list(per_class)
    if limit < 1:
        raise UsageError(f"limit {limit} is not possible; give at least 1 image a class.")
    return [max(1, n * limit // largest) for n in per_class]


def held_out(count: int, share: float) -> int:
    """How many of a class's images a validation share holds out: of n round(share n), at least one; none of share 0."""
    return max(1, math.floor(share * count + 0.5)) if share else 0


def class_ranks(order: str, classes: int) -> list[int]:
    """Source label of each rank (0 = head): `natural`, `reversed`, or `seed:N` (random). Raises UsageError."""
    name, _, argument = order.partition(":")
    seed = whole_number(argument)
    if name == "seed" and seed is not None:
        return [int(c) for c in numpy_stream(seed, "class-order").permutation(classes)]
    fixed = {"natural": range(classes), "reversed": range(classes - 1, -1, -1)}
    if order not in fixed:
        raise UsageError(f"class order '{order}' is not known; write natural, reversed or seed:N, N {WHOLE}.")
    return list(fixed[order])


def ordered_members(labels: NDArray[np.integer], classes: int, selection: str, split: str) -> list[Indices]:
    """Indices of every class in the order in which `selection` takes them; a list by source label.

    labels: integers in [0, classes), length N. `split` ("train" or "test") names the stream. Raises UsageError for an
    unknown selection, DataError for an index file that does not fit.
    """
    check_selection(selection)
    name, _, argument = selection.partition(":")
    orders = {"seeded": _seeded, "official-builder": _official_builder, "robustlt": _robustlt, "file": _from_file}
    members = [np.flatnonzero(labels == c).astype(np.int64) for c in range(classes)]
    return orders[name](members, argument, split)


def check_selection(selection: str) -> None:
    """Refuse a selection that cannot be meant. Raises UsageError."""
    name, _, argument = selection.partition(":")
    if name not in SELECTIONS or (name == "file" and not argument):
        raise UsageError(f"selection '{selection}' is not known. {did_you_mean(name, SELECTIONS)}")
    if name == "seeded" and argument and whole_number(argument) is None:
        raise UsageError(f"selection '{selection}' is not known; write seeded or seeded:N, N {WHOLE}.")
    if name == "robustlt" and whole_number(argument) is None:
        raise UsageError(f"selection '{selection}' is not known; write robustlt:SEED, SEED {WHOLE}.")


def _seeded(members: list[Indices], argument: str, split: str) -> list[Indices]:
    root = whole_number(argument) or 0
    return [numpy_stream(root, "subset", split, c).permutation(m) for c, m in enumerate(members)]


def _official_builder(members: list[Indices], _argument: str, split: str) -> list[Indices]:
    if split != "train":
        return _seeded(members, "", split)
    legacy = np.random.RandomState(0)
    shuffled = [m.copy() for m in members]
    for m in shuffled:
        legacy.shuffle(m)
    return shuffled


def _robustlt(members: list[Indices], argument: str, split: str) -> list[Indices]:
    if split != "train":
        return _seeded(members, "", split)
    generator = np.random.default_rng(whole_number(argument) or 0)
    shuffled = [m.copy() for m in members]
    for m in shuffled:
        generator.shuffle(m)
    return shuffled


def _from_file(members: list[Indices], argument: str, split: str) -> list[Indices]:
    chosen = read_indices(in_full(argument), split)
    if chosen is None:
        return _seeded(members, "", split)
    total = sum(len(m) for m in members)
    if outside := [i for i in chosen.tolist() if not 0 <= i < total][:1]:
        raise DataError(f"{argument}: index {outside[0]} is outside the {split} split of {total} images.")
    if len(np.unique(chosen)) != len(chosen):
        raise DataError(f"{argument}: an index of the {split} split stands twice; each image may be chosen once.")
    return [chosen[np.isin(chosen, m)] for m in members]


def read_indices(path: Path, split: str) -> Indices | None:
    """Source indices of `split` in an index file, or None when the file has none for the test split.

    `.npz` with `train_index` (and `test_index`: the long-tailed test split), with RobustLT's `train_indices` and
    `val_indices`, which are joined, or with `indices`; `.npy` or `.txt` with the training indices alone, `.csv` with
    columns `split` and `index`. Raises DataError.
    """
    readers = {".npz": _read_npz, ".npy": _read_npy, ".txt": _read_text, ".csv": _read_csv}
    if path.suffix not in readers:
        raise DataError(f"index file {path}: '{path.suffix}' cannot be read; use one of {', '.join(readers)}.")
    if not path.is_file():
        raise DataError(f"index file {path} does not exist; `bench data export` writes one.")
    try:
        values = readers[path.suffix](path, split)
    except OSError as error:
        raise DataError(f"index file {path} cannot be read ({error.strerror or error}); mend that.") from None
    except Exception as error:  # a damaged or encrypted archive: each of its parts has its own
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"index file {path} cannot be read ({why}); `bench data export` writes a right one.") from None
    if values is None:
        if split == "train":
            raise DataError(f"index file {path} holds no training indices; it needs `train_index`.")
        return None
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError(
            f"index file {path} holds {values.dtype} of shape {values.shape}; a list of integers is needed."
        )
    return values.astype(np.int64)


def _read_npz(path: Path, split: str) -> np.ndarray | None:
    archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it is one array, as .npy files hold")
    with archive:
        arrays = {key: value for key, value in archive.items() if isinstance(value, np.ndarray)}
    if f"{split}_index" in arrays or split != "train":
        return arrays.get(f"{split}_index")
    if {"train_indices", "val_indices"} <= set(arrays):
        return np.concatenate([arrays["train_indices"], arrays["val_indices"]])
    return arrays.get("indices")


def _read_npy(path: Path, split: str) -> np.ndarray | None:
    return np.load(path, allow_pickle=False) if split == "train" else None


def _read_text(path: Path, split: str) -> np.ndarray | None:
    if split != "train":
        return None
    words = path.read_text(encoding="utf-8-sig").replace(",", " ").replace(";", " ").split()
    return np.array([int(word.strip("\"'")) for word in words], dtype=np.int64)


def _read_csv(path: Path, split: str) -> np.ndarray | None:
    """As it was written or as another program saved it: with a byte order mark, quotes, semicolons or tabs."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    mark = max(",;\t", key=lambda sign: lines[0].count(sign)) if lines else ","
    columns, *rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark) if row] or [[]]
    if columns.count("index") != 1 or columns.count("split") != 1:
        raise ValueError("it needs the columns `split` and `index`, each once")
    where, what = columns.index("split"), columns.index("index")
    chosen = []
    for row in rows:
        if len(row) <= max(where, what) or row[where] not in SPLITS:
            raise ValueError(f"the row '{','.join(row)[:60]}' has not one of {', '.join(SPLITS)} and an index")
        if SPLITS[row[where]] == split:
            chosen.append(int(row[what]))
    return np.array(chosen, dtype=np.int64) if chosen else None


def digest(*arrays: np.ndarray) -> str:
    """First 16 hex digits of the SHA-256 of arrays: their types, shapes and values in C order."""
    total = hashlib.sha256()
    for array in arrays:
        plain = np.ascontiguousarray(array)
        total.update(f"{plain.dtype.str}{plain.shape}".encode())
        total.update(plain.view(np.uint8).data)
    return total.hexdigest()[:16]
