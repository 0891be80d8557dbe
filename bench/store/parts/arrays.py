"""Arrays of an .npz as it may be met, read in bounded time and memory (see `bench.store.parts.files`).

An array is made only where its header fits what is there, and every member's checksum is verified.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import StoreError
from bench.store.parts.files import read

#: bytes that no file of a cell's arrays has, packed or unpacked
LARGEST = 2**29
#: bytes of the text before the values of one array
_HEAD = 2**16
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
#: bytes of a header's own length
_LENGTHS = {(1, 0): 2, (2, 0): 4}
#: what reading a damaged archive raises
_DAMAGE = (OSError, ValueError, EOFError, KeyError, RuntimeError, TypeError, SyntaxError, OverflowError, MemoryError,
           NotImplementedError, zipfile.BadZipFile, zlib.error)  # fmt: skip


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name. Raises as `read`; a damaged archive, or one of other than arrays, is a StoreError.

    Checksums of all members are verified. Headers that promise more than there is are refused before anything is made.
    """
    content = read(path, LARGEST)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > LARGEST:
                raise ValueError(f"it would unpack to more than {LARGEST} bytes")
            return dict(_array(archive, member) for member in members)
    except _DAMAGE as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise StoreError(f"{path} cannot be read ({said}); restore it or run the cell again.") from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[str, np.ndarray]:
    """Name and array of a member. Raises ValueError where its header does not fit its length."""
    with archive.open(member) as file:
        content = file.read()  # to the very end, where the checksum is verified
    version = np.lib.format.read_magic(io.BytesIO(content))
    if version not in _LENGTHS:
        raise ValueError(f"{member.filename} is an array of an unknown version")
    first = np.lib.format.MAGIC_LEN
    start = first + _LENGTHS[version] + int.from_bytes(content[first : first + _LENGTHS[version]], "little")
    shape, fortran, dtype = _header(version, content[first : min(start, first + _HEAD)])
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects")
    if start + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(f"{member.filename} says {shape} of {dtype}, which is not what it holds")
    array = np.frombuffer(content, dtype=dtype, offset=start).reshape(shape, order="F" if fortran else "C")
    return member.filename.removesuffix(".npy"), array


@lru_cache(maxsize=64)
def _header(version: tuple[int, int], text: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and kind of an array by its header, from its length on; the cells of a grid share theirs."""
    head: tuple[tuple[int, ...], bool, np.dtype[Any]] = _HEADERS[version](io.BytesIO(text), max_header_size=_HEAD)
    return head
