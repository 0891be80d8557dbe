"""One bit an image and attack, as per_sample.npz holds them: whether they fit together and are what was written.

With every evaluation cell.json keeps a mark of its images, labels and bits. Bits whose mark differs, or that do not
fit, never become rows: what was changed once would be a result from then on. Evaluations of older versions have no
mark; of them only what must fit is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.store.parts.record import CellRecord, DataFacts, Key
from bench.store.schema import REACHED, SAMPLES

Bits = Mapping[str, np.ndarray]


def mark(bits: Bits, key: str) -> str:
    """16 hex digits of an evaluation's images, labels and bits, and of the stages that an audit reached."""
    return _mark(bits, key, _images_mark(bits, Key.of(key).split))


def _images_mark(bits: Bits, split: str) -> hashlib._Hash:
    """The beginning of the marks of a split's evaluations, which share their images and labels."""
    total = hashlib.sha256()
    for name in (f"{split}/index", f"{split}/label"):
        _add(total, bits.get(name, ()), "<i8")
    return total


def _mark(bits: Bits, key: str, images: hashlib._Hash) -> str:
    total = images.copy()
    for name in (key, key + REACHED):
        _add(total, bits.get(name, ()), "u1")
    return total.hexdigest()[:16]


def _add(total: hashlib._Hash, values: Any, kind: str) -> None:
    array = np.ascontiguousarray(values, dtype=kind)
    total.update(f"{len(array)} ".encode())
    total.update(array.tobytes())


def marked(cell: Mapping[str, Any], bits: Bits) -> dict[str, Any]:
    """The cell with the mark of its bits in every evaluation."""
    return {**cell, "evaluations": {key: f | {"bits": mark(bits, key)} for key, f in cell["evaluations"].items()}}


def complaint(cell: CellRecord, bits: Bits) -> str:
    """The first of `complaints`, or nothing."""
    return next(complaints(cell, bits), "")


def complaints(cell: CellRecord, bits: Bits) -> Iterator[str]:
    """What does not fit: in the bits themselves, with the images a class that cell.json says, and with their marks."""
    evaluations = cell.evaluations
    for split in dict.fromkeys(Key.of(key).split for key in evaluations):
        own = {key for key in evaluations if key.startswith(f"{split}/")}
        unfit = _images(split, bits, cell.data)
        if unfit:
            yield f"{SAMPLES}{unfit}" if unfit.startswith((" ", ":")) else unfit
            continue
        size, images = len(bits[f"{split}/label"]), _images_mark(bits, split)
        for key in sorted(own):
            if key not in bits:
                yield f"{SAMPLES} has no bits of {key}"
            elif bits[key].shape != (size,) or not _are_bits(bits[key]):
                yield f"{SAMPLES}: {key} is not one bit for each of {size} images"
            elif evaluations[key].bits not in (None, _mark(bits, key, images)):
                yield f"{SAMPLES}: the bits of {key} are not those that were written"


def _are_bits(values: np.ndarray) -> bool:
    """Whether all values are 0 or 1."""
    return values.dtype.kind in "biuf" and bool(((values == 0) | (values == 1)).all())


def unknown(cell: CellRecord, bits: Bits) -> Iterator[str]:
    """Bits of what was not evaluated, as far as cell.json knows."""
    evaluations = cell.evaluations
    stages = {key + REACHED for key, facts in evaluations.items() if facts.audit is not None}
    images = {f"{Key.of(key).split}/{name}" for key in evaluations for name in ("index", "label")}
    for key in sorted(bits.keys() - {*evaluations, *stages, *images}):
        yield f"{SAMPLES} has bits of {key}, cell.json knows no such evaluation"


def _images(split: str, bits: Bits, data: DataFacts | None) -> str:
    """What is wrong with the images of a split; nothing when all is well."""
    index, label = bits.get(f"{split}/index"), bits.get(f"{split}/label")
    classes = len(data.class_names) if data else 0
    if index is None or label is None:
        return f" has no indices or labels of the {split} test split"
    if any(values.dtype.kind not in "iu" or values.ndim != 1 for values in (index, label)):
        return f": indices and labels of the {split} test split are not whole numbers, one an image"
    if len(np.unique(index)) != len(index) or len(index) != len(label):
        return f": the {split} test split has not one distinct index for each of {len(label)} labels"
    if len(label) and not 0 <= int(label.min()) <= int(label.max()) < classes:
        return f": labels of the {split} test split reach {label.max()}, there are {classes} classes"
    counted, stored = np.bincount(label, minlength=classes).tolist(), data.test_counts.get(split, []) if data else []
    if counted != stored:
        return f"{split} test images a class: {counted} in {SAMPLES}, {stored} in cell.json"
    return ""
