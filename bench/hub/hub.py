"""Where published networks lie: `hf:OWNER/NAME[@REVISION]` on a hub, or a folder. Its client is imported here alone.

The hub's address is `HF_ENDPOINT`, as its own client reads it; with `BENCH_OFFLINE` set nothing is asked of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import BenchError, StoreError, UsageError
from bench.hub.bundle import MANIFEST, Manifest, manifest, verified
from bench.paths import in_full, offline

PREFIX = "hf:"
ADDRESS = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def is_published(text: str) -> bool:
    """Whether a source is a published network rather than a file or a factory."""
    return text.startswith(PREFIX) or (in_full(text) / MANIFEST).is_file()


def parse(text: str) -> tuple[str, str | None]:
    """(OWNER/NAME, revision or None) of an address. Raises UsageError."""
    found = ADDRESS.fullmatch(text)
    if not found:
        raise UsageError(f"'{text}' is no address of a hub; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION.")
    return found[1], found[2]


def fetch(text: str) -> tuple[Manifest, Path, str]:
    """(manifest, folder with verified files, address with the commit it came from). Raises UsageError, StoreError."""
    if not text.startswith(PREFIX):
        folder = in_full(text)
        made = manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
        verified(made, folder, text)
        return made, folder, text
    repository, revision = parse(text)
    client = _client()

    def get(name: str, at: str | None) -> Path:
        return Path(_asked(text, lambda: client.hf_hub_download(repository, name, revision=at, endpoint=_endpoint())))

    first = get(MANIFEST, revision)
    commit = first.parent.name  # the client keeps a folder for each commit
    made = manifest(first.read_bytes(), f"{MANIFEST} of {text}")
    for name in made.files:
        get(name, commit)
    verified(made, first.parent, text)
    return made, first.parent, f"{PREFIX}{repository}@{commit}"


def upload(files: dict[str, bytes], text: str, message: str) -> str:
    """Put files into a repository, which is made where there is none, as one commit. Returns its address."""
    repository, revision = parse(text)
    client = _client()
    api = client.HfApi(endpoint=_endpoint())
    operations = [client.CommitOperationAdd(name, body) for name, body in files.items()]
    _asked(text, lambda: api.create_repo(repository, exist_ok=True))
    done = _asked(text, lambda: api.create_commit(repository, operations, commit_message=message, revision=revision))
    return f"{PREFIX}{repository}@{done.oid}"


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _client() -> Any:
    """The hub's own client. Raises UsageError where it is missing or nothing may be asked of a network."""
    if offline():
        raise UsageError("BENCH_OFFLINE is set, so no hub is asked; unset it, or give a folder.")
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError("huggingface-hub is not installed; pip install 'robust-longtail-bench[hub]'.") from None
    return huggingface_hub


def _asked(text: str, ask: Callable[[], Any]) -> Any:
    """What the hub answers; whatever its client raises is one sentence."""
    try:
        return ask()
    except BenchError:
        raise
    except Exception as error:  # its client has some thirty kinds of error
        said = " ".join(str(error).split())[:300].rstrip(".")
        raise StoreError(f"{text}: the hub did not do it ({type(error).__name__}: {said}).") from error
