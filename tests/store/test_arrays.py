"""Arrays of an .npz: those that were written, and one sentence for an archive that promises what it does not hold."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from bench.errors import StoreError
from bench.store.parts.arrays import read_arrays

ARRAYS = {"long-tailed/label": np.arange(300), "long-tailed/pgd-20": np.arange(300, dtype=np.uint8) % 2}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_were_written(tmp_path, save):
    save(tmp_path / "some.npz", **ARRAYS)
    found = read_arrays(tmp_path / "some.npz")
    assert list(found) == list(ARRAYS)
    assert all(np.array_equal(found[name], ARRAYS[name]) and found[name].dtype == ARRAYS[name].dtype for name in found)


def directory(content: bytes) -> int:
    """Where the directory of an archive begins."""
    return content.index(b"PK\x01\x02")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (8, 1),  # encrypted
        (10, 14),  # packed in a way that nobody here reads
        (16, 7),  # another checksum
        (24, 10),  # fewer bytes than it unpacks to
        (24, 10**6),  # more
        (42, 5),  # somewhere else
        (42, 10**6),  # beyond the end
    ],
)
def test_a_member_that_is_not_what_the_directory_says_is_refused(tmp_path, field, value):
    path = tmp_path / "some.npz"
    np.savez_compressed(path, **ARRAYS)
    content = bytearray(path.read_bytes())
    kind = "<H" if field < 16 else "<I"
    struct.pack_into(kind, content, directory(bytes(content)) + field, value)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read"):
        read_arrays(path)
