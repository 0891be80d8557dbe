"""From a CellSpec to its images: the long-tailed training set, the two test splits, and hashes of both.

Class indices are ranks: 0 is the head. A set made long-tailed by the law takes its ranks from `class_order`; a set used
with its own imbalance (`ir=None`) is ranked by its training counts. Names and source labels go along.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import longtail
from bench.api import Arrays, Dataset
from bench.config import CellSpec
from bench.errors import DataError, UsageError
from bench.plugins import make_dataset, needs, tried
from bench.seeding import numpy_stream

if TYPE_CHECKING:
    import torch


#: the name of what is held out of training where a test split may stand
VALIDATION = "validation"


@dataclass(frozen=True)
class Held:
    """Training images that no training sees: uint8 N x H x W x channels, int64 labels, source indices, counts."""

    images: torch.Tensor
    labels: torch.Tensor
    index: torch.Tensor
    counts: tuple[int, ...]


@dataclass(frozen=True)
class CellData:
    """Everything a cell trains and is tested on, on the CPU.

    `train_images` uint8 N x H x W x channels, `train_labels` int64 N, `train_index` int64 N: indices into the source's
    training split. `test_images`, `test_labels`: the source's whole test split; `splits`: "long-tailed" and "balanced",
    int64 indices into it. `native_labels`: the source's label of each class index. `data_hash`: of the training images
    (those held out as well), the test split and the labels of both. `subset_hash`: of the chosen indices. `validation`:
    held out of training by the recipe; training images and counts are what remains. `extra_images`,
    `extra_labels`: the data set's extra images and class indices (-1: unknown), where the cell needs them.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    train_index: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    splits: dict[str, torch.Tensor]
    class_names: tuple[str, ...]
    native_labels: tuple[int, ...]
    train_counts: tuple[int, ...]
    test_counts: dict[str, tuple[int, ...]]
    source: str
    data_hash: str
    subset_hash: str
    validation: Held | None = None
    extra_images: torch.Tensor | None = None
    extra_labels: torch.Tensor | None = None
    extra_hash: str = ""

    def shown(self, split: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(images, labels, indices into both) of a test split, or of `validation`. Raises UsageError without one."""
        if split != VALIDATION:
            return self.test_images, self.test_labels, self.splits[split]
        if self.validation is None:
            raise UsageError("nothing was held out of training; set validation, for instance validation=0.1.")
        import torch

        return self.validation.images, self.validation.labels, torch.arange(len(self.validation.labels))

    @property
    def image(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        _, height, width, channels = self.train_images.shape
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)


@dataclass(frozen=True)
class Subset:
    """Which images a cell uses: source indices of each split in ascending class index, and the classes' order."""

    native_labels: tuple[int, ...]
    train: list[longtail.Indices]
    splits: dict[str, list[longtail.Indices]]
    validation: list[longtail.Indices] = field(default_factory=list)

    @property
    def hash(self) -> str:
        """16 hex digits; equal for equal choices whatever their order inside a class."""
        parts = [self.train, *(self.splits[name] for name in sorted(self.splits)), self.validation]
        return longtail.digest(*(np.sort(chosen) for part in parts for chosen in part))


def load_data(spec: CellSpec, data_root: Path | None = None) -> CellData:
    """Images, labels and splits of a cell. Raises DataError or UsageError in one sentence."""
    import torch

    source = make_dataset(spec.dataset, data_root)
    arrays = _read(source, spec.dataset)
    chosen, subset = choice(spec, arrays)
    train_index, train_labels = _numbered(subset.train)
    pool, pool_labels = _numbered(chosen.train)
    rank = np.argsort(subset.native_labels)  # source label -> class index
    test_labels = rank[np.asarray(arrays.test_labels, dtype=np.int64)]
    train_images = np.ascontiguousarray(arrays.train_images[train_index])
    # a copy: the array may be a read-only view of a file, and torch wants to own writable memory
    test_images = np.array(arrays.test_images)
    return CellData(
        train_images=torch.from_numpy(train_images),
        train_labels=torch.from_numpy(train_labels.astype(np.int64)),
        train_index=torch.from_numpy(train_index),
        test_images=torch.from_numpy(test_images),
        test_labels=torch.from_numpy(test_labels.astype(np.int64)),
        splits={name: torch.from_numpy(np.sort(np.concatenate(part))) for name, part in subset.splits.items()},
        class_names=tuple(arrays.class_names[label] for label in subset.native_labels),
        native_labels=subset.native_labels,
        train_counts=tuple(len(part) for part in subset.train),
        test_counts={name: tuple(len(c) for c in part) for name, part in subset.splits.items()},
        source=arrays.source,
        data_hash=longtail.digest(
            train_images if subset is chosen else arrays.train_images[pool], pool_labels, test_images, test_labels
        ),
        subset_hash=subset.hash,
        validation=_held(subset, arrays.train_images),
        **(_extra(source, spec.dataset, train_images.shape[1:], rank) if "extra" in needs(spec) else {}),
    )


def _numbered(parts: list[longtail.Indices]) -> tuple[np.ndarray, np.ndarray]:
    """(source indices, class indices) of images given class by class."""
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _extra(source: Dataset, name: str, shape: tuple[int, ...], rank: np.ndarray) -> dict[str, Any]:
    """The extra fields of CellData, labels as class indices. Raises DataError without any that fit."""
    import torch

    found = tried(name, source.extra)
    if found is None or not len(found.images):
        raise DataError(f"data set '{source.name}' has no extra images; use one that has, or a method without them.")
    images, labels = np.array(found.images), np.asarray(found.labels, dtype=np.int64)
    if images.dtype != np.uint8 or images.shape[1:] != shape or labels.shape != (len(images),):
        raise DataError(
            f"data set '{source.name}': extra images are {images.dtype} of shape {images.shape} with labels of shape "
            f"{labels.shape}; uint8 of shape N x {' x '.join(map(str, shape))} with N labels are needed."
        )
    if labels.min() < -1 or labels.max() >= len(rank):
        raise DataError(
            f"data set '{source.name}': extra labels are {labels.min()} to {labels.max()}; -1 (unknown) to "
            f"{len(rank) - 1} are needed."
        )
    known = np.where(labels < 0, -1, rank[labels])
    return {
        "extra_images": torch.from_numpy(images),
        "extra_labels": torch.from_numpy(known),
        "extra_hash": longtail.digest(images, known),
    }


def read(name: str, data_root: Path | None = None) -> Arrays:
    """The images and labels of a data set, checked. Raises DataError or UsageError."""
    return _read(make_dataset(name, data_root), name)


def _read(source: Dataset, name: str) -> Arrays:
    arrays = tried(name, source.load)
    tried(name, partial(check, arrays, name))
    return arrays


def choice(spec: CellSpec, arrays: Arrays) -> tuple[Subset, Subset]:
    """Which images of a data set a cell uses: before and after some are held out. Raises DataError or UsageError."""
    chosen = choose(spec, arrays.train_labels, arrays.test_labels, len(arrays.class_names))
    return chosen, held_out(spec, chosen, [arrays.class_names[label] for label in chosen.native_labels])


def held_out(spec: CellSpec, subset: Subset, names: Sequence[str]) -> Subset:
    """The subset without the recipe's `validation` share of each class, which goes into `validation` instead.

    Of n images round(share n), at least one, are held out, by a stream of the root seed and the class. Raises
    UsageError that names a class which would have none left, and how many images it needs.
    """
    share = spec.recipe.validation
    if not share:
        return subset
    train, validation = list[longtail.Indices](), list[longtail.Indices]()
    for rank, members in enumerate(subset.train):
        count = longtail.held_out(len(members), share)
        if count >= len(members):
            raise UsageError(
                f"validation={share:g} leaves class {rank} ('{names[rank]}') no training image: it has {len(members)} "
                f"and {count} would be held out; it needs at least {count + 1}, so take a lower imbalance ratio or "
                "share."
            )
        shuffled = numpy_stream(spec.seed, VALIDATION, rank).permutation(len(members))
        held = np.zeros(len(members), dtype=bool)
        held[shuffled[:count]] = True
        train.append(members[~held])
        validation.append(members[held])
    return dataclasses.replace(subset, train=train, validation=validation)


def _held(subset: Subset, images: np.ndarray) -> Held | None:
    """The validation images, by ascending class."""
    import torch

    if not subset.validation:
        return None
    counts = [len(part) for part in subset.validation]
    index = np.concatenate(subset.validation)
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return Held(torch.from_numpy(images[index]), torch.from_numpy(labels), torch.from_numpy(index), tuple(counts))


def choose(spec: CellSpec, train_labels: np.ndarray, test_labels: np.ndarray, classes: int) -> Subset:
    """Which images a cell uses. Labels are the source's, integers in [0, classes).

    With an imbalance ratio, both splits follow the law from the size of their smallest class; a test class keeps at
    least one image. Without one, the set's own counts are kept. The balanced test split holds as many images of every
    class as its smallest class has: the whole test set where that is balanced. `limit` scales all counts down together.
    """
    train = longtail.ordered_members(train_labels, classes, spec.selection, "train")
    test = longtail.ordered_members(test_labels, classes, spec.selection, "test")
    whole_test = longtail.ordered_members(test_labels, classes, "seeded", "test")
    train_max, test_max = (int(np.bincount(labels, minlength=classes).min()) for labels in (train_labels, test_labels))
    order = _ranks(spec, [len(members) for members in train])
    train_counts, test_counts = [len(train[c]) for c in order], [len(test[c]) for c in order]
    if spec.ir is not None:
        law = longtail.counts(train_max, spec.ir, classes)
        if spec.selection.startswith("file:") and train_counts != law:
            raise DataError(
                f"{spec.selection[5:]} chooses {train_counts} images a class but imbalance ratio {spec.ir:g} means "
                f"{law}; use --irs natural to take the file's own counts."
            )
        train_counts = law
        test_law = longtail.counts(test_max, spec.ir, classes, at_least=1)
        test_counts = [min(n, given) for n, given in zip(test_law, test_counts, strict=True)]
    for split, per_class in (("training", train_counts), ("test", test_counts)):
        if 0 in per_class:
            empty = order[per_class.index(0)]
            raise DataError(f"{spec.selection} leaves class {empty} of '{spec.dataset}' without a {split} image.")
    take = {"long-tailed": (test, test_counts), "balanced": (whole_test, [test_max] * classes)}
    return Subset(
        native_labels=tuple(order),
        train=_first(train, order, train_counts, spec.limit),
        splits={name: _first(members, order, n, spec.limit) for name, (members, n) in take.items()},
    )


def _ranks(spec: CellSpec, sizes: list[int]) -> list[int]:
    """Source label of each class index: by `class_order` under the law, by size (largest first) without it."""
    if spec.ir is not None:
        return longtail.class_ranks(spec.class_order, len(sizes))
    if spec.class_order != "natural":
        raise UsageError(
            f"class order '{spec.class_order}' needs an imbalance ratio: without one the classes of '{spec.dataset}' "
            "are ranked by their own sizes."
        )
    return [int(c) for c in np.argsort(-np.array(sizes), kind="stable")]


def _first(
    members: list[longtail.Indices], order: list[int], per_class: list[int], limit: int | None
) -> list[longtail.Indices]:
    return [members[c][:n] for c, n in zip(order, longtail.limited(per_class, limit), strict=True)]


def check(arrays: Arrays, name: str) -> None:
    """Refuse images and labels that are not what `Arrays` declares. Raises DataError naming what is wrong."""
    classes = len(arrays.class_names)
    check_classes(name, classes)
    shapes = []
    for split in ("train", "test"):
        images, labels = getattr(arrays, f"{split}_images"), getattr(arrays, f"{split}_labels")
        where = f"data set '{name}', {split} split"
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise DataError(
                f"{where}: images are {images.dtype} of shape {images.shape}; uint8 of shape N x height x width x "
                "1 or 3 is needed."
            )
        if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
            raise DataError(
                f"{where}: labels are {labels.dtype} of shape {labels.shape}; {len(images)} integers are needed."
            )
        if not len(labels) or labels.min() < 0 or labels.max() >= classes:
            span = f"{labels.min()} to {labels.max()}" if len(labels) else "none"
            raise DataError(f"{where}: labels are {span}; {classes} classes need labels from 0 to {classes - 1}.")
        present = np.bincount(labels, minlength=classes)
        if not present.all():
            empty = int(np.argmin(present))
            raise DataError(f"{where}: class {empty} ('{arrays.class_names[empty]}') has no images; remove or fill it.")
        shapes.append(images.shape[1:])
    if shapes[0] != shapes[1]:
        raise DataError(
            f"data set '{name}': training images are {shapes[0]}, test images {shapes[1]}; make them equal."
        )
    for split in ("train", "test"):
        _check_range(getattr(arrays, f"{split}_images"), f"data set '{name}', {split} split")


def check_classes(name: str, classes: int) -> None:
    """Refuse a data set of fewer than two classes. Raises DataError."""
    if classes < 2:
        raise DataError(f"data set '{name}' has {classes} class; nothing is learnt from fewer than two.")


def _check_range(images: np.ndarray, where: str) -> None:
    """Refuse bytes that were read as something else: all alike, or only 0 and 1, as masks and floats cast to bytes are.

    A look at the first images settles it for nearly every set, so that a mapped archive is not read as a whole.
    """
    if images[:64].max() > 1 and images[:64].min() < images[:64].max():
        return
    low, high = int(images.min()), int(images.max())
    if low == high:
        raise DataError(f"{where}: every pixel is {low}; the images were not stored, or not read, as they are.")
    if high <= 1:
        raise DataError(f"{where}: pixels are only 0 and 1; bytes from 0 to 255 are needed, so multiply by 255.")
