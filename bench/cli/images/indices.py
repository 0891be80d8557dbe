"""A choice of images as an index file: in this benchmark's forms, and in those of other programs of the field.

    npz, csv    ours; both test splits, names, hashes
    robustlt    RobustLT's `split/BASE-expIR-seedSEED.npz`: `train_indices` and `val_indices`, the last fifth of each
                class; its loader joins them unless it is to validate
    at-bsl      the builder of AT-BSL, RoBal and REAT draws its subset by itself and reads no file; what is written is
                what its data set holds then: `indices` into the source in its order, `targets`, `img_num_list`

Both others take class 0 for the most frequent one and compute its counts by the law, so they get no other choice.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import longtail
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.engine.images.subset import CellData

#: share of a class, rounded down, that RobustLT's files name as its validation part
ROBUSTLT_PART = 0.2


def own_npz(data: CellData, choice: Mapping[str, Any]) -> bytes:
    """All that is known of the choice."""
    return _npz(
        {name: str(value) for name, value in choice.items()}
        | {
            "train_index": data.train_index.numpy(),
            "test_index": data.splits["long-tailed"].numpy(),
            "balanced_index": data.splits["balanced"].numpy(),
            "class_names": np.array(data.class_names),
            "native_labels": np.array(data.native_labels),
            "data_hash": data.data_hash,
            "subset_hash": data.subset_hash,
            "source": data.source,
        }
    )


def own_csv(data: CellData, _choice: Mapping[str, Any]) -> bytes:
    """One row an image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("split", "index", "class_index", "native_label", "class_name", "subset_hash"))
    parts = [("train", data.train_index, data.train_labels)]
    parts += [(name, index, data.test_labels[index]) for name, index in data.splits.items()]
    for split, index, labels in parts:
        for i, c in zip(index.tolist(), labels.tolist(), strict=True):
            writer.writerow((split, i, c, data.native_labels[c], data.class_names[c], data.subset_hash))
    return text.getvalue().encode()


def robustlt(data: CellData, choice: Mapping[str, Any]) -> bytes:
    """See the module. Raises UsageError for a choice that RobustLT cannot mean."""
    _by_the_law(data, choice, "RobustLT")
    train, held = [], []
    for members in _classes(data):
        kept = len(members) - int(len(members) * ROBUSTLT_PART)
        train.append(members[:kept])
        held.append(members[kept:])
    return _npz({"train_indices": np.concatenate(train), "val_indices": np.concatenate(held)})


def at_bsl(data: CellData, choice: Mapping[str, Any]) -> bytes:
    """See the module. Raises UsageError for a choice that the builder cannot mean."""
    _by_the_law(data, choice, "the builder of AT-BSL")
    members = _classes(data)
    counts = np.array([len(part) for part in members])
    return _npz(
        {
            "indices": np.concatenate(members),
            "targets": np.repeat(np.arange(len(members)), counts),
            "img_num_list": counts,
        }
    )


#: --format -> writer of the .npz
FORMATS: dict[str, Callable[[CellData, Mapping[str, Any]], bytes]] = {
    "bench": own_npz,
    "robustlt": robustlt,
    "at-bsl": at_bsl,
}


def _classes(data: CellData) -> list[np.ndarray]:
    """Source indices of each class, in the order in which they were chosen."""
    return np.split(data.train_index.numpy(), np.cumsum(data.train_counts)[:-1])


def _by_the_law(data: CellData, choice: Mapping[str, Any], whose: str) -> None:
    """Refuse a choice whose counts the other program would compute otherwise."""
    ranked = list(data.native_labels) == list(range(data.num_classes))
    ratio = str(choice["ir"])
    law = [] if ratio == "natural" else longtail.counts(data.train_counts[0], float(ratio), data.num_classes)
    if not ranked or choice["limit"] is not None or list(data.train_counts) != law:
        raise UsageError(
            f"{whose} computes a class's images from the ratio, class 0 first; export with --ir NUMBER, the natural "
            "class order and no --limit."
        )


def _npz(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
