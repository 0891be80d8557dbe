"""The order in which a class's images are audited: the benchmark's and the image's own, never a network's or a seed's.

So two networks are audited on the same images as far as both stand, and a larger sample contains the smaller.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def place(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A number of each image (int64 N, its index in the source's test split) by which images are sorted: uint64 N."""
    digests = [hashlib.blake2b(b"audit order %d" % index, digest_size=8).digest() for index in indices.tolist()]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def ordered(indices: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], classes: int) -> list[Ints]:
    """Positions of each class's images, in audit order: `classes` arrays that together hold 0 .. N - 1."""
    order = np.lexsort((indices, place(indices)))
    return [order[labels[order] == label].astype(np.int64) for label in range(classes)]
