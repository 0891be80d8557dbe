"""A published store that is written anew as a whole: the old or the new one is there whenever this is stopped.

The new one is made in a scratch folder beside it with a random name, where the old one lies between two renamings.
Nothing else beside the store is touched, and `foreign` says what in it is not its own.
"""

from __future__ import annotations

import glob
import shutil
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.store.copies.publish import KEPT
from bench.store.parts.files import unwritable

#: end of the scratch folder's name, and what it holds
_END, _NEW, _OLD = ".rewritten", "new", "old"


def foreign(target: Path, cells: Container[str]) -> list[str]:
    """What a store's folder holds besides the files of these cells and texts (*.md) beside them."""
    files = [path for path in sorted(target.rglob("*")) if path.is_symlink() or not path.is_dir()]
    names = [path.relative_to(target) for path in files if path.is_symlink() or not _own(path, target, cells)]
    return [str(name) for name in names]


def _own(path: Path, target: Path, cells: Container[str]) -> bool:
    if path.parent == target:
        return path.suffix == ".md"
    return path.parent.parent == target and path.parent.name in cells and path.name in KEPT


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A place for the new store, to be handed to `replace`. Raises StoreError where it cannot be made."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=_END, dir=target.parent))
    except OSError as error:
        raise unwritable(f"cannot write {target}", error) from error
    try:
        yield scratch / _NEW
    finally:
        if not (scratch / _OLD).exists():  # else `restore` brings it back
            shutil.rmtree(scratch, ignore_errors=True)


def replace(fresh: Path, target: Path) -> None:
    """Put the new store in the place of `target`. Raises StoreError."""
    old = fresh.with_name(_OLD)
    try:
        if target.exists():
            target.rename(old)
        fresh.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise unwritable(f"cannot write {target}", error) from error


def restore(target: Path) -> None:
    """Bring back what a `replace` that was killed had put aside, and remove what it had left. Raises StoreError."""
    for old in sorted(target.parent.glob(f".{glob.escape(target.name)}.*{_END}/{_OLD}")):
        try:
            if not target.exists():
                old.rename(target)
        except OSError as error:
            raise unwritable(f"cannot write {target}", error) from error
        shutil.rmtree(old.parent, ignore_errors=True)
