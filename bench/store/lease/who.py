"""Who works in a folder: what an owner says of itself, and whether it is known to be no more."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import msgspec


class Said(msgspec.Struct, frozen=True):
    """What an owner says of itself in its lease. `space`: see `_space`; `started`: see `_started`; `since`: UTC."""

    host: str = ""
    space: str = ""
    pid: int = 0
    started: str = ""
    job: str = ""
    since: str = ""


def myself() -> Said:
    """What this process says of itself."""
    own = os.getpid()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Said(socket.gethostname(), _space(), own, _started(own), os.environ.get("SLURM_JOB_ID", ""), since)


def dead(said: Said) -> bool:
    """Whether an owner of this very host and process space is no more; False where that cannot be known."""
    here = said.space != "" and (said.host, said.space) == (socket.gethostname(), _space())
    return here and _started(said.pid) != said.started


def _space() -> str:
    """What tells process numbers of one boot and one container from those of others; empty where it is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty for one that is no more (a zombie is no more)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""
