"""The project as others get it: a wheel built from the checkout, unpacked where nothing else of it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

#: what a wheel is made of; tests, docs and leftovers of earlier builds are not copied
SOURCES = ("bench", "baselines", "methods", "reports", "results", "pyproject.toml", "README.md", "LICENSE")


def build_wheel(source: Path, work: Path) -> Path:
    """Build the wheel of a copy of `source`, without an index and without touching the checkout."""
    work.mkdir(parents=True, exist_ok=True)
    code = f"import setuptools.build_meta as b; b.build_wheel({str(work)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = work.glob("*.whl")
    return wheel


def copy(source: Path, target: Path, names: tuple[str, ...]) -> Path:
    """A copy of some files and folders, without caches and results of runs."""
    target.mkdir(parents=True)
    for name in names:
        if (source / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "runs")
            shutil.copytree(source / name, target / name, ignore=ignore)
        else:
            shutil.copy(source / name, target / name)
    return target


@pytest.fixture(scope="session")
def wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel."""
    pytest.importorskip("setuptools", reason="building a wheel needs setuptools")
    work = tmp_path_factory.mktemp("wheel")
    return build_wheel(copy(project, work / "source", SOURCES), work / "dist")


@pytest.fixture(scope="session")
def site(project: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed project and the installed example package, as site-packages has them."""
    work = tmp_path_factory.mktemp("site")
    plugin = copy(project / "examples" / "thirdparty", work / "plugin", ("pyproject.toml", "src"))
    for archive in (wheel, build_wheel(plugin, work / "dist")):
        zipfile.ZipFile(archive).extractall(work / "site-packages")
    return work / "site-packages"


@pytest.fixture(scope="session")
def bench(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs the installed `bench` far from the checkout and returns what it printed."""
    away = tmp_path_factory.mktemp("away")

    def run(*arguments: str, status: int = 0, module: str = "bench") -> str:
        environment = os.environ | {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=away,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
