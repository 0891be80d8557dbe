"""Reading `.npz` array archives in MedMNIST's key convention, checked and with little memory.

Keys: train_images, train_labels, test_images, test_labels; optional class_names and source, extra_images (unlabelled or
generated, see `read_extra`) with extra_labels, and val_images and val_labels, not used. Members stored plainly
are mapped from the file, so that only the images used are ever read.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Arrays, DataError, Extra

from ._files import damaged, unreadable

#: kinds of types that hold whole numbers; NumPy counts times among them
WHOLE = "iu"
REQUIRED = ("train_images", "train_labels", "test_images", "test_labels")


def read_labels(path: Path, mend: str) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """(train labels, test labels, shape of the training images) without reading the images."""
    with _open(path, mend) as archive:
        _check_keys(archive, path)
        train, test = (_labels(_read(archive, path, key, mend), path, key) for key in ("train_labels", "test_labels"))
        shape = _shape(archive, path, "train_images", mend)
    return train, test, shape


def read_arrays(path: Path, source: str, class_names: Sequence[str] | None, mend: str) -> Arrays:
    """All arrays of an archive. `source` and `class_names` are used where the archive says nothing of its own.

    Images become uint8 N x H x W x channels; grey images may lack their channel axis, and floats in [0, 1] that are
    multiples of 1/255 are taken as such. Raises DataError.
    """
    with _open(path, mend) as archive:
        _check_keys(archive, path)
        found = {key: _read(archive, path, key, mend) for key in REQUIRED}
        names = set(archive.namelist())
        if "source.npy" in names:
            source = " ".join(_text(part) for part in _read(archive, path, "source", mend).ravel())
        if "class_names.npy" in names:
            class_names = [_text(name) for name in _read(archive, path, "class_names", mend).ravel()]
    labels = {split: _labels(found[f"{split}_labels"], path, f"{split}_labels") for split in ("train", "test")}
    images = {split: exact_bytes(found[f"{split}_images"], path, f"{split}_images") for split in ("train", "test")}
    if class_names is None:
        highest = max((int(part.max()) for part in labels.values() if part.size), default=-1)
        class_names = [str(c) for c in range(highest + 1)]
    return Arrays(images["train"], labels["train"], images["test"], labels["test"], tuple(class_names), source)


def count_extra(path: Path, mend: str) -> int:
    """How many extra images an archive has, without reading them."""
    with _open(path, mend) as archive:
        if "extra_images.npy" not in archive.namelist():
            return 0
        return _shape(archive, path, "extra_images", mend)[0]


def _shape(archive: zipfile.ZipFile, path: Path, key: str, mend: str) -> tuple[int, ...]:
    """The shape of an archive's images, from their header alone."""
    try:
        with archive.open(f"{key}.npy") as member:
            shape, _, kind = _header(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, OSError, ValueError) as error:
        raise damaged(path, f"{key}: {str(error).rstrip('.')}", mend) from None
    _check_shape(shape, kind, path, key)
    return shape


def read_extra(path: Path, mend: str) -> Extra | None:
    """The extra images of an archive, as `read_arrays` has images; None without any. Raises DataError.

    `extra_labels`: one integer an image, -1 where it is not known; without them none is.
    """
    with _open(path, mend) as archive:
        names = archive.namelist()
        if "extra_images.npy" not in names:
            return None
        images = exact_bytes(_read(archive, path, "extra_images", mend), path, "extra_images")
        known = _read(archive, path, "extra_labels", mend) if "extra_labels.npy" in names else None
    labels = np.full(len(images), -1) if known is None else known
    if labels.shape != (len(images),) or labels.dtype.kind not in WHOLE:
        raise DataError(
            f"{path}: extra_labels is {labels.dtype} of shape {labels.shape}; one integer for each of the "
            f"{len(images)} extra images is needed, -1 where it is not known."
        )
    return Extra(images, labels.astype(np.int64))


def _open(path: Path, mend: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError) as error:
        raise damaged(path, str(error).rstrip("."), mend) from None
    except OSError as error:
        raise unreadable(path, error) from None


def _check_keys(archive: zipfile.ZipFile, path: Path) -> None:
    names = archive.namelist()
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path} holds {twice[0]} twice; write it again with one of them.")
    keys = {name.removesuffix(".npy") for name in names if name.endswith(".npy")}
    lacking = [key for key in REQUIRED if key not in keys]
    if lacking:
        raise DataError(
            f"{path} has no {', '.join(lacking)} (it has {', '.join(sorted(keys)) or 'no array'}); add what is missing."
        )


def _header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, Fortran order, type) of the .npy stream, which is left at its first value."""
    version = np.lib.format.read_magic(member)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"version {version} of the format")
    shape, fortran, kind = read[version](member)
    return shape, fortran, kind


def _read(archive: zipfile.ZipFile, path: Path, key: str, mend: str) -> np.ndarray:
    """One member, its CRC verified: mapped from the file when it is stored plainly, else read."""
    info = archive.getinfo(f"{key}.npy")
    try:
        mapped = _map(path, info) if info.compress_type == zipfile.ZIP_STORED else None
        if mapped is not None:
            return mapped
        with archive.open(info) as member:
            values: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
            member.read()  # to the end, where the CRC is verified
            return values
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, struct.error, OSError) as error:
        raise damaged(path, f"{key}: {str(error).rstrip('.')}", mend) from None
    except ValueError as error:
        raise DataError(
            f"{path}: {key} is not a plain array ({str(error).rstrip('.')}); store numbers or text."
        ) from None


def _map(path: Path, info: zipfile.ZipInfo) -> np.ndarray | None:
    """The stored member as a read-only view of the file, or None when it has no plain values to map."""
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        start = info.header_offset + 30 + name + extra
        file.seek(start)
        shape, fortran, kind = _header(file)
        offset = file.tell()
    if kind.hasobject or 0 in shape or not shape:
        return None
    if offset - start + math.prod(shape) * kind.itemsize > info.file_size:  # what follows in the file is another's
        raise EOFError("it ends before its last value")
    whole = np.memmap(path, np.uint8, "r", start, (info.file_size,))
    crc = 0
    for first in range(0, info.file_size, 1 << 24):
        crc = zlib.crc32(memoryview(whole[first : first + (1 << 24)]), crc)  # type: ignore[arg-type]
    if crc != info.CRC:
        raise zipfile.BadZipFile("wrong checksum")
    return np.memmap(path, kind, "r", offset, shape, "F" if fortran else "C")


def _labels(values: np.ndarray, path: Path, key: str) -> np.ndarray:
    flat = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
    if flat.ndim != 1 or flat.dtype.kind not in WHOLE:
        raise DataError(f"{path}: {key} is {values.dtype} of shape {values.shape}; one integer an image is needed.")
    if not flat.size:
        raise DataError(f"{path}: {key} is empty; a split needs images of every class.")
    low, high = int(flat.min()), int(flat.max())
    if low < 0 or high >= flat.size:  # each class below the highest has an image, so there are not more of them
        raise DataError(
            f"{path}: {key} goes from {low} to {high} for {flat.size} images; number the classes 0, 1, 2, ... without "
            "gaps."
        )
    return flat.astype(np.int64)


def _text(name: Any) -> str:
    """A class name as text on one line; bytes are UTF-8."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
    return " ".join(text.split())


def exact_bytes(values: np.ndarray, path: Path | str, key: str) -> np.ndarray:
    """Images as uint8 N x H x W x channels, or DataError naming `path` and `key`; floats as `read_arrays` says."""
    _check_shape(values.shape, values.dtype, path, key)
    if values.ndim == 3:
        values = values[..., None]
    return _from_float(values, path, key) if np.issubdtype(values.dtype, np.floating) else values


def _check_shape(shape: tuple[int, ...], kind: np.dtype, path: Path | str, key: str) -> None:
    sound = (len(shape) == 3 or (len(shape) == 4 and shape[-1] in (1, 3))) and 0 not in shape
    if not sound or not (kind == np.uint8 or np.issubdtype(kind, np.floating)):
        raise DataError(
            f"{path}: {key} is {kind} of shape {shape}; uint8 of shape N x height x width (x 1 or 3) is needed."
        )


def _from_float(values: np.ndarray, path: Path | str, key: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise DataError(f"{path}: {key} has NaN or infinite pixels; replace them.")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise DataError(
            f"{path}: {key} has float pixels from {values.min():.9g} to {values.max():.9g}; use uint8 or [0, 1]."
        )
    scaled = np.rint(values * 255)
    if values.size and np.abs(values * 255 - scaled).max() > 1e-3:
        raise DataError(f"{path}: {key} has float pixels that are not multiples of 1/255; store them as uint8.")
    pixels: np.ndarray = scaled.astype(np.uint8)
    return pixels
