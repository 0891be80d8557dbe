"""`bench golden`: the store is rewritten as a whole and nothing else with it; a check begins afresh."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.cli import main
from bench.store.copies import whole
from bench.store.results import Results


@pytest.fixture
def fresh(project, tmp_path, monkeypatch) -> Path:
    """A store of one golden cell, which is what every run of the grid gives here."""
    folder = min((project / "results" / "golden").glob("*/cell.json")).parent
    shutil.copytree(folder, tmp_path / "fresh" / folder.name)
    monkeypatch.setattr(
        "bench.cli.golden._run", lambda place, *_: shutil.copytree(tmp_path / "fresh", place, dirs_exist_ok=True) and 0
    )
    return tmp_path / "fresh"


def golden(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["golden", *map(str, words)])
    return int(ended.value.code or 0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_store_is_replaced_as_a_whole(fresh, tmp_path):
    target = tmp_path / "parent" / "golden"
    aside = target.parent / ".golden.a1b2c3.rewritten" / "old"  # a killed update left it here
    aside.mkdir(parents=True)
    (aside / "README.md").write_text("kept")
    for _ in range(2):
        assert golden("update", "--target", target) == 0
        assert Results(target).rows.equals(Results(fresh).rows)
        assert (target / "README.md").read_text() == "kept"
        assert names(target.parent) == ["golden"]


@pytest.mark.parametrize(
    "name", ["notes.txt", "CELL/checkpoint.pt", "CELL/mine/cell.json", "other-cell/cell.json", "tunings/a.json", "link"]
)
def test_what_is_not_of_the_grid_is_named_and_stays(fresh, tmp_path, capsys, name):
    target = shutil.copytree(fresh, tmp_path / "golden")
    file = target / name.replace("CELL", names(fresh)[0])
    file.parent.mkdir(exist_ok=True)
    file.symlink_to(tmp_path) if name == "link" else file.write_text("mine")
    assert golden("update", "--target", target) == 1
    assert f"{target} holds {file.relative_to(target)}, which is no part of the golden grid" in capsys.readouterr().err
    assert file.exists()


def test_what_lies_beside_a_store_stays(fresh, tmp_path):
    for name in ("golden.new", "golden.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("mine")
    assert golden("update", "--target", tmp_path / "golden") == 0
    assert names(tmp_path) == ["fresh", "golden", "golden.new", "golden.old"]
    assert all((tmp_path / name / "mine").exists() for name in ("golden.new", "golden.old"))


def test_a_file_is_no_store(fresh, tmp_path, capsys):
    (tmp_path / "golden").write_text("mine")
    assert golden("update", "--target", tmp_path / "golden") == 1
    assert "is a file; give a folder" in capsys.readouterr().err
    assert (tmp_path / "golden").read_text() == "mine"


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_store_is_never_lost_between_the_old_and_the_new(tmp_path, monkeypatch, killed_at):
    target = tmp_path / "golden"
    target.mkdir()
    (target / "number").write_text("old")
    calls = []

    def killed(act):
        def stop(*words, **more):
            calls.append(act)
            if len(calls) == killed_at:
                raise KeyboardInterrupt
            return act(*words, **more)

        return stop

    with monkeypatch.context() as patch, whole.beside(target) as place:
        place.mkdir()
        (place / "number").write_text("new")
        patch.setattr("pathlib.Path.rename", killed(Path.rename))
        patch.setattr("bench.store.copies.whole.shutil.rmtree", killed(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            whole.replace(place, target)
    whole.restore(target)
    assert (target / "number").read_text() == ("new" if killed_at == 3 else "old")
    assert names(tmp_path) == ["golden"]


def test_a_check_keeps_its_run_only_in_a_new_folder(fresh, tmp_path, capsys):
    code = golden("check", "--results", fresh)
    assert (code, capsys.readouterr().err.count("is not empty, and the check runs afresh; remove it")) == (2, 1)
    (tmp_path / "kept").mkdir()
    golden("check", "--results", tmp_path / "kept")
    assert names(tmp_path / "kept") == names(fresh)
