"""`bench show` as a user calls it: what took effect, in words; `bench data export` into a folder that takes nothing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from bench.cli import main
from bench.cli.shown.explain import distance
from bench.config import AttackSpec, ThreatModel
from bench.engine.suite import build
from bench.engine.verdicts.budget import radius
from bench.store.folders import CellFolder, read_cell

CELL = "at-digitslt-ir10-s0-e462a051af"


@pytest.fixture
def store(project: Path, tmp_path: Path) -> Path:
    """One cell of the golden store."""
    shutil.copytree(project / "results" / "golden" / CELL, tmp_path / "runs" / CELL)
    return tmp_path / "runs"


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]):
    """Calls the verb: (exit code, stdout, stderr)."""

    def call(*words: object, verb: str = "show") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([verb, *map(str, words)])
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return call


def test_a_cell_shows_the_distances_that_took_effect(store: Path, show) -> None:
    code, out, _ = show("at", "--results", store)
    assert code == 0
    assert re.search(r"radius +linf 0\.2 \(8/255, scaled to this data set\)\n", out)
    assert re.search(r"step +0\.05 \(2/255, scaled to this data set\)\n", out)
    assert re.search(r"pgd-20 +eps 0\.2 \(8/255, scaled.*, step 0\.025 \(1/255, scaled.*, steps 20", out)
    assert "{" not in out  # no JSON among words


def test_the_scaled_radius_is_that_of_the_attack() -> None:
    threat = ThreatModel(0.2)
    for text in ("pgd-20", "pgd-20[eps=4/255]", "aa"):
        attack = build(AttackSpec.parse(text), threat, 10)
        shown = distance("eps", attack.params.eps, threat.scale)
        assert float(shown.partition(" ")[0]) == pytest.approx(radius(attack))
    assert distance("steps", 20, threat.scale) == "20"
    assert distance("eps", 8 / 255, ThreatModel().scale) == "8/255"


def test_settings_in_brackets_are_resolved(show) -> None:
    code, out, _ = show("attack", "pgd-20[step=2/255]")
    assert code == 0
    assert re.search(r"step +2/255 +1/255 ", out)
    assert re.search(r"eps +8/255 +8/255 ", out)
    code, _, err = show("attack", "pgd-20[stp=2/255]")
    assert code == 2
    assert "Did you mean 'step'?" in err


def test_a_data_set_is_described_in_words(show) -> None:
    _, out, _ = show("dataset", "digitslt")
    assert "made long-tailed, at any ratio above 1 (--irs)" in out
    assert "0.2 (8/255, scaled to this data set)" in out
    assert not re.search(r"None|\(\)|_|0\.0313", out.partition("\n")[2].replace("l_inf", ""))


def test_a_cell_whose_process_is_gone_is_interrupted(store: Path, show) -> None:
    folder = CellFolder(store, CELL)
    with folder.locked():
        folder.write(read_cell(folder.path) | {"status": "running"})
        assert "   running   " in show("at", "--results", store)[1]
    assert "interrupted; the same `bench run` goes on from there" in show("at", "--results", store)[1]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:700])


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("per_class.csv", _cut, "per_class.csv is damaged"),
        ("per_class.csv", lambda p: p.write_text(p.read_text().replace(",small-cnn,0,", ",small-cnn,x,")), "per_class"),
        ("cell.json", _cut, "cell.json cannot be read"),
        (
            "cell.json",
            lambda p: p.write_text('{"schema": 1}'),
            "Object missing required field `id`",
        ),
    ],
)
def test_a_damaged_file_is_one_sentence(store: Path, show, name: str, change, words: str) -> None:
    change(store / CELL / name)
    code, _, err = show("at", "--results", store)
    assert code == 1
    (line,) = err.strip().splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["taet"], "did you mean `bench show method taet`?"),
        (["pgd-20[step=2/255]"], "did you mean `bench show attack 'pgd-20[step=2/255]'`?"),
        (["method"], "write `bench show method NAME`"),
        ([""], "'' cannot be shown"),
        (["nope"], f"no cell of RUNS begins or ends with 'nope'; give one of its cells: {CELL}."),
        (["method", "taet", "--json"], "`bench ls methods --json`"),
        (["method", "taet", "at"], "cannot be shown"),
    ],
)
def test_what_is_no_cell_is_one_sentence_with_the_mend(store: Path, show, words: list[str], part: str) -> None:
    code, out, err = show(*words, "--results", store)
    assert code != 0
    assert not out
    (line,) = err.strip().splitlines()
    assert part.replace("RUNS", str(store)) in line


def test_a_plug_ins_name_helps_without_a_store_too(tmp_path: Path, show) -> None:
    assert "did you mean `bench show method taet`?" in show("taet", "--results", tmp_path / "nowhere")[2]
    (tmp_path / "empty").mkdir()
    assert "empty holds no cell; run `bench run` first" in show("nope", "--results", tmp_path / "empty")[2]
    assert "does not exist" in show("nope", "--results", tmp_path / "nowhere")[2]


def test_json_is_the_stored_cell(store: Path, show) -> None:
    assert json.loads(show("at", "--json", "--results", store)[1]) == read_cell(store / CELL)


def test_an_export_that_cannot_be_written_is_one_sentence(tmp_path: Path, show) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "x.npz", "/proc/x.npz"):
        code, _, err = show("export", "digitslt", "--ir", 10, "--to", target, verb="data")
        assert code == 1
        (line,) = err.strip().splitlines()
        assert f"cannot write {target}" in line
