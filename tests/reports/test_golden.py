"""The committed store renders to the committed report, byte for byte, in every text format."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = sorted(str(p.relative_to(HERE / "golden")) for p in (HERE / "golden").rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("golden")
    module.report(HERE / "store", folder)
    return folder


def test_same_files(made: Path) -> None:
    assert sorted(str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()) == FILES
    assert len(FILES) > 5


@pytest.mark.parametrize("name", FILES)
def test_same_bytes(made: Path, name: str) -> None:
    assert (made / name).read_text(encoding="utf-8") == (HERE / "golden" / name).read_text(encoding="utf-8")
