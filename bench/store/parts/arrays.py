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
#: bytes of what stands before a member's name
_LOCAL = 30
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
        return dict(_array(_unpacked(content, member), member) for member in members)
    except _DAMAGE as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise StoreError(f"{path} cannot be read ({said}); restore it or run the cell again.") from error


def _unpacked(content: bytes, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member, at most as many as it promises and with its checksum. Raises what damage raises.

    `zipfile` itself reads a member through a file object, which for the small ones of a cell is most of the time.
    """
    at, local = member.header_offset, content[member.header_offset : member.header_offset + _LOCAL]
    name, extra = int.from_bytes(local[26:28], "little"), int.from_bytes(local[28:30], "little")
    start = at + _LOCAL + name + extra
    packed = content[start : start + member.compress_size]
    if (
        local[:4] != b"PK\x03\x04"
        or at < 0
        or content[at + _LOCAL : at + _LOCAL + name] != member.orig_filename.encode()
    ):
        raise zipfile.BadZipFile(f"{member.filename} is not where it should be")
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError(f"{member.filename} is encrypted or packed in an unknown way")
    if member.compress_type == zipfile.ZIP_DEFLATED:
        packed = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.file_size + 1)
    if len(packed) != member.file_size or zlib.crc32(packed) != member.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file '{member.filename}'")
    return packed


def _array(content: bytes, member: zipfile.ZipInfo) -> tuple[str, np.ndarray]:
    """Name and array of a member. Raises ValueError where its header does not fit its length."""
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
