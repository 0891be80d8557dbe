"""What the numbers were made with."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "robust-longtail-bench",
    "torch",
    "torchvision",
    "pyautoattack",
    "numpy",
    "pandas",
    "scikit-learn",
    "medmnist",
)


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    found["git"] = _git()
    return tuple(found.items())


def versions() -> dict[str, str]:
    """Package -> version, with Python, the platform and the commit of a checkout (`-dirty` when it was changed)."""
    return dict(_versions())


def _git() -> str:
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return "none"
    try:
        described = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()
