"""Files of weights: what they are, by their content, and every tensor in them by its dotted path.

A file is read as safetensors or with torch's restricted reader (`weights_only`), which runs no code. Objects that are
no tensors (an `argparse.Namespace` of settings, a scheduler) become inert stand-ins that know only their name, so they
neither run nor stand in the way of the tensors beside them.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import ModelError

#: how often a file is read again because it names one more object
MAX_OBJECTS = 200
#: how deep mappings and lists are looked into
DEPTH = 8
GIVE = (
    "give what torch.save(network.state_dict(), PATH) wrote, a safetensors file, or package.module:factory for "
    "anything that your own code has to read"
)
#: how files begin that are none of weights -> what they are
BEGINNINGS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself (git lfs pull)"),
    (b"\x89HDF", "an HDF5 file, as Keras writes it"),
    (b"\x1f\x8b", "compressed by gzip; unpack it"),
    (b"BZh", "compressed by bzip2; unpack it"),
    (b"\xfd7zXZ", "compressed by xz; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it"),
    (b"\x93NUMPY", "one NumPy array"),
    (b"GGUF", "a GGUF file"),
)


@dataclass(frozen=True)
class Stored:
    """The tensors of a file. `tensors`: by dotted path. `level`: path of the mapping that each lies in directly,
    dotted and with a dot at its end, empty at the top. `objects`: types of what was left unread.
    """

    path: Path
    tensors: dict[str, Tensor]
    level: dict[str, str]
    objects: tuple[str, ...] = ()


def read_file(path: Path) -> Stored:
    """Every tensor of a file. Raises ModelError: absent, no file of weights (and what else), damaged, no tensor."""
    with _opened(path) as file:
        head = file.read(4096)
        file.seek(0, 2)
        size = file.tell()
    if _is_safetensors(head, size):
        return _named(path, _safetensors(path), ())
    if head.startswith(b"PK"):
        _refuse_other_zip(path)
    elif not head.startswith(b"\x80"):
        raise ModelError(f"{path} is no file of weights but {_kind(path, head)}; {GIVE}.")
    found, objects = _restricted(path)
    return _named(path, found, objects)


def _opened(path: Path) -> Any:
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder; give one file of weights in it.")
        if path.exists() and not path.is_file():
            raise ModelError(f"{path} is no regular file; give a file of weights, or package.module:factory.")
        return path.open("rb")
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; give a file of weights, or package.module:factory.") from None
    except (OSError, ValueError) as error:  # a name that no system can have is a ValueError
        raise ModelError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from error


def _kind(path: Path, head: bytes) -> str:
    """What a file is that holds no weights, in words."""
    if not head:
        return "empty"
    for beginning, words in BEGINNINGS:
        if head.startswith(beginning):
            return words
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if path.suffix == ".safetensors":
        return "a damaged or cut safetensors file"
    try:
        text = head.decode().lstrip()
    except UnicodeDecodeError:
        return "something else"
    if text[:200].lower().startswith(("<!doctype", "<html")):
        return "a page of HTML, as a download that failed leaves it"
    return "text"


def _is_safetensors(head: bytes, size: int) -> bool:
    """Eight bytes of length, then a header in JSON of that length."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise ModelError("safetensors is not installed; pip install 'robust-longtail-bench[weights]'.") from None
    try:
        return dict(load_file(path))
    except Exception as error:  # its reader raises its own type on a damaged file
        first = (str(error).splitlines() or [""])[0]
        raise ModelError(f"{path} cannot be read as safetensors ({first}); copy or save it again.") from error


def _refuse_other_zip(path: Path) -> None:
    """Raise ModelError for a zip archive that `torch.save` did not write, naming what it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if archive.testzip():  # torch reads what its checksum says is another's
                raise _damaged(path)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _damaged(path) from error
    if any(re.fullmatch(r"[^/]+/(constants\.pkl|code/.*)", name) for name in names):
        raise ModelError(
            f"{path} is TorchScript, a program and no state dict; give a factory that returns torch.jit.load(PATH), "
            "or save the network's state_dict()."
        )
    if any(re.fullmatch(r"[^/]+/data\.pkl", name) for name in names):
        return
    if names and all(name.endswith(".npy") for name in names):
        raise ModelError(
            f"{path} is a NumPy archive (.npz) of {len(names)} arrays; save them as a state dict with "
            "torch.save({name: torch.from_numpy(array), ...}, PATH)."
        )
    if any(name.rpartition("/")[2] in ("archive_format", "serialized_exported_program.json") for name in names):
        raise ModelError(f"{path} was written by torch.export, a program and no state dict; {GIVE}.")
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "nothing"
    raise ModelError(f"{path} is a zip archive of files ({shown}); unpack it and give one file of weights.")


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path} is damaged or cut short as a file of weights; copy or save it again.")


def _restricted(path: Path) -> tuple[Any, tuple[str, ...]]:
    """(what a file of `torch.save` holds, names of the objects in it that were replaced by stand-ins)."""
    known: dict[str, Any] = {}
    while True:
        try:
            allowed: list[Any] = [(made, name) for name, made in {**_NUMPY, **known}.items()]
            # an open file: torch would choose its reader by the name
            with torch.serialization.safe_globals(allowed), path.open("rb") as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about files of old versions, whose content is checked below
                found = torch.load(file, map_location="cpu", weights_only=True)
            return found, tuple(sorted(name for name in known if not name.startswith("builtins.")))
        except pickle.UnpicklingError as error:
            lacking = re.search(r"Unsupported global: GLOBAL (\S+) was not", str(error))
            if lacking is None or lacking[1] in known or len(known) >= MAX_OBJECTS:
                raise _refused(path, [name for name in known if not name.startswith("builtins.")]) from error
            for name in (lacking[1], f"builtins.{lacking[1]}"):
                known[name] = _stand_in(name)
        except (MemoryError, RecursionError) as error:
            raise ModelError(f"{path} cannot be read ({type(error).__name__}); save the state dict alone.") from error
        except Exception as error:  # torch's reader raises anything on a damaged file
            raise _damaged(path) from error


def _refused(path: Path, objects: list[str]) -> ModelError:
    of = f" ({', '.join(objects[:3])})" if objects else ""
    return ModelError(
        f"{path} is refused: it is a pickle of objects{of}, and reading one can run any code; "
        "save the network's state_dict() with torch.save, or safetensors, and give that."
    )


def _stand_in(name: str) -> type:
    """A class that takes whatever a pickle gives it and keeps nothing."""

    def build(cls: type, *_args: Any, **_more: Any) -> Any:
        return object.__new__(cls)

    return type(name, (), {"__new__": build, "__init__": _take, "__setstate__": _take})


def _take(*_args: Any, **_more: Any) -> None:
    return None


def _numpy_types() -> dict[str, Any]:
    """What arrays and numbers of NumPy are made of in a pickle: they only hold bytes."""
    core = np.array(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    made: dict[str, Any] = {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
    for place in ("numpy.core.multiarray", "numpy._core.multiarray"):
        made |= {f"{place}._reconstruct": core, f"{place}.scalar": scalar}
    kinds = (np.dtype(letter) for letter in "?bBhHiIlLqQefdgFDSUO")
    return made | {f"{type(kind).__module__}.{type(kind).__name__}": type(kind) for kind in kinds}


_NUMPY = _numpy_types()


def _named(path: Path, found: Any, objects: tuple[str, ...]) -> Stored:
    tensors: dict[str, Tensor] = {}
    level: dict[str, str] = {}
    for above, name, tensor in _walk(found, "", DEPTH) if isinstance(found, (Mapping, list, tuple)) else ():
        tensors[above + name], level[above + name] = tensor, above
    if not tensors:
        whole = type(found).__name__ if objects and type(found).__name__ in objects else ""
        if objects:
            raise _refused(path, [whole] if whole else list(objects))
        raise ModelError(f"{path} holds no state dict (a mapping from names to tensors); save network.state_dict().")
    return Stored(path, tensors, level, objects)


def _walk(value: Any, above: str, depth: int) -> Iterator[tuple[str, str, Tensor]]:
    """(path of what holds it, its name, tensor) of every tensor in nested mappings and lists."""
    inside = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, member in inside:
        if isinstance(member, Tensor):
            yield above, str(key), member
        elif isinstance(member, np.ndarray) and member.dtype.kind in "fiub":
            yield above, str(key), torch.from_numpy(member.astype(member.dtype.newbyteorder("=")))
        elif depth and isinstance(member, (Mapping, list, tuple)):
            yield from _walk(member, f"{above}{key}.", depth - 1)
