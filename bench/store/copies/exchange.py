"""Cells as one file that travels: packed with a hash of every byte, unpacked only where nothing else is lost.

The file is a tar archive with `manifest.json` first: cell -> file -> SHA-256, and the same of tunings. Only names that
the manifest holds, of cells and files as this program writes them, are read, so no path of an archive leads anywhere
else; a cell is unpacked under its lease, cell.json last (`_wanted` says what of it).
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
from bench.store.copies.compare import Copy, OtherError, begins, losses
from bench.store.folders import CellFolder, atomic_write, beside
from bench.store.parts.tunings import FORMAT, TUNINGS, Tuning, keep, load
from bench.store.schema import CELL, CHECKPOINT, CURVES, FEATURES, ROWS, SAMPLES

#: what is packed of a cell; cell.json last, for without it a folder that a kill left behind is no cell
FILES = (ROWS, CURVES, SAMPLES, FEATURES, CHECKPOINT, CELL)
#: archives with tunings are of the second version, all others of the first
MANIFEST, VERSION = "manifest.json", 2
#: names of cells as `CellSpec.id` makes them of a method of any name: one visible folder
_CELL = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,200}")
#: names of tunings as `Study.name` makes them
_TUNING = re.compile(r"[a-z0-9-]{1,100}\.json")
#: no manifest is larger, in bytes
_LARGEST = 2**26


class Manifest(msgspec.Struct, omit_defaults=True):
    """What an archive holds: cell -> file -> SHA-256 in hexadecimal digits, and the files of tunings."""

    version: int
    cells: dict[str, dict[str, str]]
    tunings: dict[str, str] = {}

    @property
    def folders(self) -> dict[str, dict[str, str]]:
        """Folder -> file -> SHA-256: the cells, and where the tunings lie."""
        return self.cells | ({TUNINGS: self.tunings} if self.tunings else {})


@dataclass
class Unpacked:
    """Cells that are new here, or fuller; that were here already; tunings that are new or go on; refused, with why."""

    new: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    tunings: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def pack(folders: Iterable[Path], target: Path, *, weights: bool, tunings: Iterable[Path] = ()) -> int:
    """Write cells and files of tunings into an archive, which has its name once it is whole; the same give the same.

    Returns how many cells. Raises StoreError when no cell is given, or a file cannot be read or written.
    """
    chosen = {folder.name: [f for f in _files(folder) if weights or f.name != CHECKPOINT] for folder in folders}
    if not chosen:
        raise StoreError("no cell was chosen to export; give ids of `bench ls cells`, or none for all.")
    told = sorted(tunings)
    try:
        cells = {cell: {f.name: _hash(f) for f in files} for cell, files in chosen.items()}
        manifest = Manifest(VERSION if told else 1, cells, {path.name: _hash(path) for path in told})
        _must_be_free(target)
        with beside(target) as raw, tarfile.open(fileobj=raw, mode="w") as archive:
            _add(archive, MANIFEST, msgspec.json.encode(manifest, order="sorted"))
            for folder, files in [*sorted(chosen.items()), (TUNINGS, told)]:
                for file in files:
                    content = file.read_bytes()
                    if hashlib.sha256(content).hexdigest() != manifest.folders[folder][file.name]:
                        raise StoreError(f"{file} changed while it was packed; wait until its run has ended.")
                    _add(archive, f"{folder}/{file.name}", content)
            _must_be_free(target)  # nor has anybody else written it since
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}; choose another place.") from error
    return len(chosen)


def _must_be_free(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise StoreError(f"{target} is there already; give another name, or remove it.")


def unpack(source: Path, root: Path) -> Unpacked:
    """Put what an archive holds into a results folder. Raises StoreError when it is damaged or no such archive.

    A cell whose counts differ from those that are here, or that somebody works on, is refused and the others go on; so
    is a tuning whose trials are others.
    """
    done, met = Unpacked(), set[str]()
    try:
        with tarfile.open(source, "r:") as archive:  # as it is written: what is packed again may unpack to anything
            manifest = _manifest(archive, source)
            for folder, content in _folders(archive, manifest, source):
                met.add(folder)
                if folder == TUNINGS:
                    _go_on(root, content, done)
                else:
                    _place(root, folder, content, done)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise StoreError(f"{source} cannot be read ({error or type(error).__name__}); export it again.") from error
    if absent := manifest.folders.keys() - met:
        raise StoreError(f"{source} is cut short: it lacks {', '.join(sorted(absent)[:3])}; export it again.")
    return done


def _place(root: Path, cell: str, content: dict[str, bytes], done: Unpacked) -> None:
    """Write what a cell's folder wants of an archive's cell, under its lease."""
    try:
        if not _wanted(root / cell, content):
            done.same.append(cell)
            return
        folder = CellFolder(root, cell)
        with folder.locked():
            wanted = _wanted(folder.path, content)  # once more: nobody changes it any longer
            if CELL in wanted and _of_other_weights(folder.path, content):
                folder.retire()
            for name in FILES:
                if name in wanted:
                    atomic_write(folder.path / name, wanted[name])
    except (HeldError, OtherError) as error:
        done.refused[cell] = str(error)
        return
    done.new.append(cell)


def _wanted(folder: Path, content: dict[str, bytes]) -> dict[str, bytes]:
    """What of an archive's cell is to be written: all where it has more than the one here, else what that lacks.

    Raises OtherError where each has something that the other lacks or has otherwise, or one cannot be read.
    """
    if not (folder / CELL).exists():
        return content
    try:
        here, coming = Copy.of(folder), Copy.packed(content)
    except StoreError as error:
        raise OtherError(str(error)) from error
    less, more = losses(here, coming), losses(coming, here)
    if less and more:
        raise OtherError(f"other counts are here already ({', '.join(dict.fromkeys([*less, *more][:5]))} differ)")
    if less or more:
        return content if more else {}
    absent = {name: body for name, body in content.items() if not (folder / name).exists()}
    there = [name for name in (ROWS, SAMPLES) if name in content and name not in absent]
    if differ := [name for name in there if (folder / name).read_bytes() != content[name]]:
        raise OtherError(f"other counts are here already ({', '.join(differ)} differ)")
    return absent


def _of_other_weights(folder: Path, content: dict[str, bytes]) -> bool:
    """Whether a cell is here that was trained apart from the archive's: its checkpoint does not belong beside that."""
    return (folder / CELL).exists() and Copy.of(folder).record.weights != Copy.packed(content).record.weights


def _go_on(root: Path, content: dict[str, bytes], done: Unpacked) -> None:
    """Keep each tuning of an archive that goes on from what is known here; others that are no part of it are refused.

    Raises StoreError where one cannot be understood.
    """
    for name, body in content.items():
        try:
            tuning = msgspec.json.decode(body, type=Tuning)
            if tuning.format != FORMAT:
                raise StoreError(f"it has format {tuning.format}, and this version reads {FORMAT}; upgrade bench.")
            here = load(root, tuning.study)
            if begins(here, tuning) and here.trials != tuning.trials:
                keep(root, tuning)
                done.tunings.append(name)
            elif not begins(tuning, here):
                raise OtherError("other trials are here already")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError) as error:
            raise StoreError(f"{TUNINGS}/{name} cannot be understood ({error}); export it again.") from error
        except StoreError as error:
            done.refused[f"{TUNINGS}/{name}"] = str(error)


def _manifest(archive: tarfile.TarFile, source: Path) -> Manifest:
    first = archive.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > _LARGEST:
        raise StoreError(f"{source} is no archive of `bench export`: it does not begin with {MANIFEST}.")
    file = archive.extractfile(first)
    try:
        manifest = msgspec.json.decode(b"" if file is None else file.read(), type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise StoreError(f"{source}: its {MANIFEST} cannot be understood ({error}); export it again.") from error
    if not 1 <= manifest.version <= VERSION:
        raise StoreError(f"{source} is of version {manifest.version}, this program reads {VERSION}; upgrade bench.")
    for cell, files in manifest.cells.items():
        if not _CELL.fullmatch(cell) or cell == TUNINGS or not files.keys() <= set(FILES) or CELL not in files:
            raise StoreError(f"{source} holds '{cell}', which is no cell of this program; nothing more of it is read.")
    for name in manifest.tunings:
        if not _TUNING.fullmatch(name):
            raise StoreError(f"{source} holds '{name}', which is no tuning of this program; nothing of it is read.")
    return manifest


def _folders(archive: tarfile.TarFile, manifest: Manifest, source: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each cell, and the tunings, once all of its files are read and their hashes verified."""
    of = manifest.folders
    waiting = {folder: dict[str, bytes]() for folder in of}
    whole = source.stat().st_size
    while (member := archive.next()) is not None:
        folder, _, name = member.name.partition("/")
        wanted = of.get(folder, {}).get(name)
        file = archive.extractfile(member) if member.isreg() and not member.issparse() else None
        if wanted is None or file is None:
            raise StoreError(f"{source} holds '{member.name}', which its {MANIFEST} does not name.")
        if name in waiting.get(folder, {name: b""}) or member.size > whole:
            raise StoreError(f"{source}: {member.name} stands twice, or says more bytes than there are.")
        body = file.read()
        if hashlib.sha256(body).hexdigest() != wanted:
            raise StoreError(f"{source}: {member.name} has another hash than its {MANIFEST} says; export it again.")
        waiting[folder][name] = body
        if waiting[folder].keys() == of[folder].keys():
            yield folder, waiting.pop(folder)


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in FILES if (folder / name).is_file()]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    archive.addfile(info, io.BytesIO(content))
