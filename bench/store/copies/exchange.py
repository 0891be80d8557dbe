"""Cells as one file that travels: packed with a hash of every byte, unpacked only where nothing else stands.

The file is a tar archive with `manifest.json` first: cell -> file -> SHA-256. Only names that the manifest holds, of
cells and files as this program writes them, are read, so no path of an archive leads anywhere else; a cell is unpacked
under its lease, cell.json last, and one that is there already is left alone if it is equal and refused if it is not.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.errors import HeldError, StoreError
from bench.store.folders import CellFolder, atomic_write
from bench.store.schema import CELL, CHECKPOINT, CURVES, FEATURES, ROWS, SAMPLES

#: what is packed of a cell; cell.json last, for without it a folder that a kill left behind is no cell
FILES = (ROWS, CURVES, SAMPLES, FEATURES, CHECKPOINT, CELL)
MANIFEST, VERSION = "manifest.json", 1
#: names of cells as `CellSpec.id` makes them
_CELL = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,200}")
#: no manifest is larger, in bytes
_LARGEST = 2**26


class Manifest(msgspec.Struct):
    """What an archive holds: cell -> file -> SHA-256 in hexadecimal digits."""

    version: int
    cells: dict[str, dict[str, str]]


@dataclass
class Unpacked:
    """Names of the cells that are new here, that were here already, and that were refused with the reason."""

    new: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class OtherError(StoreError):
    """A cell is here already, with other counts."""


def pack(folders: Iterable[Path], target: Path, *, weights: bool) -> int:
    """Write cells into an archive; the same cells give the same bytes.

    Returns how many. Raises StoreError when nothing is given, or a file cannot be read or written.
    """
    chosen = {folder.name: [f for f in _files(folder) if weights or f.name != CHECKPOINT] for folder in folders}
    if not chosen:
        raise StoreError("no cell was chosen to export; give ids of `bench ls cells`, or none for all.")
    try:
        manifest = Manifest(VERSION, {cell: {f.name: _hash(f) for f in files} for cell, files in chosen.items()})
        with target.open("xb") as raw, tarfile.open(fileobj=raw, mode="w") as archive:
            _add(archive, MANIFEST, msgspec.json.encode(manifest, order="sorted"))
            for cell, files in sorted(chosen.items()):
                for file in files:
                    content = file.read_bytes()
                    if hashlib.sha256(content).hexdigest() != manifest.cells[cell][file.name]:
                        raise StoreError(f"{file} changed while it was packed; wait until its run has ended.")
                    _add(archive, f"{cell}/{file.name}", content)
    except FileExistsError as error:
        raise StoreError(f"{target} is there already; give another name, or remove it.") from error
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}; choose another place.") from error
    return len(chosen)


def unpack(source: Path, root: Path) -> Unpacked:
    """Put the cells of an archive into a results folder. Raises StoreError when it is damaged or no such archive.

    A cell whose counts differ from those that are here, or that somebody works on, is refused and the others go on.
    """
    done = Unpacked()
    try:
        with tarfile.open(source, "r:") as archive:  # as it is written: what is packed again may unpack to anything
            manifest = _manifest(archive, source)
            for cell, content in _cells(archive, manifest, source):
                _place(root, cell, content, done)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise StoreError(f"{source} cannot be read ({error or type(error).__name__}); export it again.") from error
    absent = manifest.cells.keys() - {*done.new, *done.same, *done.refused}
    if absent:
        raise StoreError(f"{source} is cut short: it lacks {', '.join(sorted(absent)[:3])}; export it again.")
    return done


def _place(root: Path, cell: str, content: dict[str, bytes], done: Unpacked) -> None:
    folder = root / cell
    try:
        if not _absent(folder, content):
            done.same.append(cell)
            return
        with CellFolder(root, cell).locked():
            absent = _absent(folder, content)  # once more: nobody changes it any longer
            for name in FILES:
                if name in absent:
                    atomic_write(folder / name, absent[name])
    except (HeldError, OtherError) as error:
        done.refused[cell] = str(error)
        return
    done.new.append(cell)


def _absent(folder: Path, content: dict[str, bytes]) -> dict[str, bytes]:
    """What of a cell's files a folder lacks. Raises OtherError when its counts are others."""
    if not (folder / CELL).exists():
        return content
    there = {name: (folder / name).read_bytes() for name in content if (folder / name).exists()}
    differ = [n for n in (ROWS, SAMPLES) if n in content and there.get(n) != content[n]]
    if differ:
        raise OtherError(f"other counts are here already ({', '.join(differ)} differ)")
    return {name: body for name, body in content.items() if name not in there}


def _manifest(archive: tarfile.TarFile, source: Path) -> Manifest:
    first = archive.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > _LARGEST:
        raise StoreError(f"{source} is no archive of `bench export`: it does not begin with {MANIFEST}.")
    file = archive.extractfile(first)
    try:
        manifest = msgspec.json.decode(b"" if file is None else file.read(), type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise StoreError(f"{source}: its {MANIFEST} cannot be understood ({error}); export it again.") from error
    if manifest.version != VERSION:
        raise StoreError(f"{source} is of version {manifest.version}, this program reads {VERSION}; upgrade bench.")
    for cell, files in manifest.cells.items():
        if not _CELL.fullmatch(cell) or not files.keys() <= set(FILES) or CELL not in files:
            raise StoreError(f"{source} holds '{cell}', which is no cell of this program; nothing more of it is read.")
    return manifest


def _cells(archive: tarfile.TarFile, manifest: Manifest, source: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each cell once all of its files are read and their hashes verified."""
    waiting = {cell: dict[str, bytes]() for cell in manifest.cells}
    whole = source.stat().st_size
    while (member := archive.next()) is not None:
        cell, _, name = member.name.partition("/")
        wanted = manifest.cells.get(cell, {}).get(name)
        file = archive.extractfile(member) if member.isreg() and not member.issparse() else None
        if wanted is None or file is None:
            raise StoreError(f"{source} holds '{member.name}', which its {MANIFEST} does not name.")
        if name in waiting.get(cell, {name: b""}) or member.size > whole:
            raise StoreError(f"{source}: {member.name} stands twice, or says more bytes than there are.")
        body = file.read()
        if hashlib.sha256(body).hexdigest() != wanted:
            raise StoreError(f"{source}: {member.name} has another hash than its {MANIFEST} says; export it again.")
        waiting[cell][name] = body
        if waiting[cell].keys() == manifest.cells[cell].keys():
            yield cell, waiting.pop(cell)


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in FILES if (folder / name).is_file()]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    archive.addfile(info, io.BytesIO(content))
