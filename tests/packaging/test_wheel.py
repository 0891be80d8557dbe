"""What is shipped: all packages, all data, no generic top-level name."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from .conftest import SOURCES, build_wheel, copy


@pytest.fixture(scope="module")
def settings(project):
    """The table [tool.setuptools] of pyproject.toml."""
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def folders(project: Path, mapping: dict[str, str]) -> dict[str, Path]:
    """Every folder of the checkout that is a package, by the dotted name it installs as."""
    found = {}
    for package, top in mapping.items():
        for init in (project / top).rglob("__init__.py"):
            found[".".join([package, *init.parent.relative_to(project / top).parts])] = init.parent
    return found


def test_the_list_of_packages_is_that_of_the_folders(project, settings):
    assert sorted(settings["packages"]) == settings["packages"], "keep the list sorted"
    assert set(settings["packages"]) == set(folders(project, settings["package-dir"]))


def test_every_folder_with_code_is_a_package(project, settings):
    bare = {
        str(path.parent.relative_to(project))
        for top in settings["package-dir"].values()
        for path in (project / top).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert not bare


def test_the_wheel_holds_every_tracked_file_of_the_packages(project, settings, wheel):
    """Code, templates, presets and reference data alike; notes for readers of the repository stay there."""
    if not (project / ".git").exists():
        pytest.skip("not a git checkout, so what is tracked is unknown")
    tops = sorted(settings["package-dir"].items(), key=lambda item: -len(item[0]))
    listed = subprocess.run(
        ["git", "-C", project, "ls-files", "-z", "--", *(top for _, top in tops)],
        capture_output=True,
        text=True,
        check=True,
    )
    tracked = [name for name in listed.stdout.split("\0") if name and (project / name).exists()]
    shipped = set(zipfile.ZipFile(wheel).namelist())
    expected = {}
    for name in tracked:
        package, top = next((p, t) for p, t in tops if name.startswith(t + "/"))
        expected[name] = package.replace(".", "/") + name.removeprefix(top)
    missing = [name for name, installed in expected.items() if installed not in shipped and not name.endswith(".md")]
    assert tracked
    assert not missing, "add them to [tool.setuptools.package-data]"


def test_the_wheel_has_one_top_level_name(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bench"}


def test_the_wheel_is_small_enough_to_be_carried(wheel):
    assert wheel.stat().st_size < 20 * 2**20


def test_the_source_archive_makes_the_same_wheel(project, wheel, tmp_path):
    """What only a checkout has is not needed: templates and stored results travel in the archive."""
    source = copy(project, tmp_path / "source", SOURCES)
    code = f"import setuptools.build_meta as b; b.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build_wheel(unpacked, tmp_path / "dist")
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())
