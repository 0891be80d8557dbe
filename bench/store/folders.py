"""Run folders: atomic writes, one writer at a time, nothing silently replaced.

A file is written beside its name and renamed, so a reader sees the old or the new one, never half of it. A folder is
leased to the process that works in it (`lease`). A file that cannot be read is renamed to
`*.damaged` by the one who works there next; nothing computed is deleted.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from bench.config import BENCHMARK_VERSION, SCHEMA_VERSION, CellSpec, to_plain
from bench.errors import NewerSchemaError, StoreError, UnreadableError
from bench.store.lease import TERM, Lease, leased
from bench.store.lease import over as lease_over
from bench.store.parts.files import mark, read_json, unwritable
from bench.store.parts.record import CellRecord, seal, understood
from bench.store.schema import CELL, STATUSES


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` through a temporary file beside it, or in the lease it lies under. Raises StoreError.

    Under a lease that was lost nothing is written (LostError): the rename comes out of the lease's own room, which is
    gone then, so not even a process that was stopped between looking and renaming writes over its successor's work.
    Elsewhere a name may be anything of the user's: a link stays one, and a pipe or device is written to.
    """
    body = content.encode() if isinstance(content, str) else content
    lease = lease_over(path)
    try:
        if lease is not None:
            lease.check()
        elif path.exists() and not path.is_file():
            path.write_bytes(body)
            return
        place = path if lease is not None else Path(os.path.realpath(path))
        place.parent.mkdir(parents=True, exist_ok=True)
        with beside(place, None if lease is None else lease.room) as file:
            file.write(body)
    except OSError as error:
        if lease is not None:
            lease.check()
        raise unwritable(f"cannot write {path}", error) from error


@contextmanager
def beside(path: Path, room: Path | None = None) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole; until then it lies beside it, or in `room`.

    Raises OSError. What is not finished is removed.
    """
    handle, name = tempfile.mkstemp(dir=room or path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_UMASK)  # noqa: PTH101 - mkstemp makes private files; results are to be shared
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()


def fenced(path: Path) -> Path:
    """The path, to be renamed or removed next. Raises LostError where it lies under a lease that was lost."""
    if (lease := lease_over(path)) is not None:
        lease.check()
    return path


def set_aside(path: Path) -> Path:
    """Rename a damaged file to the first free `NAME.damaged`, `NAME.damaged.2`, ... and return that path.

    Raises LostError, and then the file stays.
    """
    target, count = path.with_name(path.name + ".damaged"), 1
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name}.damaged.{count}")
    fenced(path).rename(target)
    return target


def open_root(root: Path, *, write: bool = False) -> Path:
    """The results folder, checked. Raises StoreError when it is absent (read) or cannot be written (write)."""
    if write:
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"results folder {root} cannot be made: {error.strerror}; give another.") from error
        if not os.access(root, os.W_OK | os.X_OK):
            raise StoreError(f"results folder {root} is not writable; give another with --results.")
    if not root.is_dir():
        raise StoreError(f"results folder {root} does not exist; run `bench run` first or give another with --results.")
    return root


def read_cell(path: Path) -> dict[str, Any]:
    """The cell.json of a folder as it stands, for who goes on writing it. Raises as `read_record`."""
    return dict(read_record(path).document)


def read_record(path: Path) -> CellRecord:
    """What the cell.json of a folder says.

    Raises NewerSchemaError, UnreadableError, or StoreError when it is damaged.
    """
    file = path / CELL
    try:
        return as_record(read_json(file), str(file))
    except FileNotFoundError as error:
        raise StoreError(f"{file} cannot be read (it is not there); restore it.") from error
    except (NewerSchemaError, UnreadableError):
        raise
    except StoreError as error:
        if str(file) in str(error):
            raise
        raise StoreError(f"{file} cannot be read ({error}); set it aside or restore it.") from error


def as_record(cell: Any, where: str) -> CellRecord:
    """What a decoded cell.json says. Raises NewerSchemaError, and StoreError for what is none."""
    schema = cell.get("schema") if isinstance(cell, dict) else None
    if type(schema) is int and schema > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{where} was written by schema {schema}, this version reads up to {SCHEMA_VERSION}; upgrade bench."
        )
    return understood(cell)


def read_done(path: Path) -> CellRecord:
    """The same of a finished cell. Raises StoreError for one that is not: it need not have data or evaluations."""
    cell = read_record(path)
    if cell.status != "done":
        raise StoreError(f"{path.name} is {cell.status}, not done; finish it with `bench run`.")
    return cell


class CellFolder:
    """The folder of one cell and the only way anything is written to it."""

    def __init__(self, root: Path, cell_id: str) -> None:
        self.id, self.path = cell_id, root / cell_id

    def locked(self, term: float = TERM) -> AbstractContextManager[Lease]:
        """Hold the folder for as long as this lasts. Raises HeldError at once when another process holds it."""
        return leased(self.path, term)

    def read(self) -> dict[str, Any] | None:
        """cell.json, or None when there is none. Raises as `read_cell`."""
        if not (self.path / CELL).exists():
            return None
        return read_cell(self.path)

    def retire(self) -> Path:
        """Move all that it holds to `stale/` beside it, under the first free name there, which is returned.

        cell.json goes last: a retirement that is broken off leaves a cell that still says what it was made from.
        Raises LostError before anything of a successor is moved. Not through the lease's room: a kill would lose it.
        """
        fenced(self.path / CELL)
        place, count = self.path.parent / "stale" / self.id, 1
        while place.exists():
            count += 1
            place = place.with_name(f"{self.id}.{count}")
        place.mkdir(parents=True)
        own = [part for part in self.path.iterdir() if not part.name.startswith(".")]
        for part in sorted(own, key=lambda part: part.name == CELL):
            fenced(part).rename(place / part.name)
        return place

    def put(self, cell: Mapping[str, Any], name: str, content: bytes | str) -> dict[str, Any]:
        """Write a file of the folder; the cell with its mark, to be written next."""
        body = content.encode() if isinstance(content, str) else content
        atomic_write(self.path / name, body)
        return {**cell, "files": cell.get("files", {}) | {name: mark(body)}}

    def write(self, cell: Mapping[str, Any]) -> None:
        """Replace cell.json, sealed as it stands."""
        sealed = {**cell, "seal": seal(cell)}
        atomic_write(self.path / CELL, json.dumps(sealed, indent=1, sort_keys=True, allow_nan=False) + "\n")


def new_cell(spec: CellSpec) -> dict[str, Any]:
    """The cell.json of a cell of which nothing is done yet."""
    return moved(
        {
            "schema": SCHEMA_VERSION,
            "benchmark": BENCHMARK_VERSION,
            "id": spec.id,
            "spec": to_plain(spec),
            "failure": None,
            "stages": {},
            "evaluations": {},
            "flags": [],
        },
        "planned",
    )


def moved(cell: dict[str, Any], status: str, stage: str = "") -> dict[str, Any]:
    """The cell with a new status appended to its history (UTC times)."""
    if status not in STATUSES:
        raise StoreError(f"'{status}' is not a status; known: {', '.join(STATUSES)}.")
    entry = {"status": status, "at": datetime.now(UTC).isoformat(timespec="seconds"), "stage": stage}
    return {**cell, "status": status, "history": [*cell.get("history", []), entry]}
