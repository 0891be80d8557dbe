"""`bench publish`: what is small is copied, what is there is not silently replaced."""

import json
import shutil

import pytest

from bench.cli import main
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.settings import Settings
from bench.store import query


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    axes = Axes(methods=("ce",), datasets=("digitslt",), irs=("10",), epochs=1, limit=6, attacks=("clean",))
    run_cell(expand(axes)[0], Settings(results=root), lambda _: None)
    return root


def publish(*words):
    with pytest.raises(SystemExit) as ended:
        main(["publish", *map(str, words)])
    return ended.value.code


def test_a_published_store_has_the_rows_and_no_weights(runs, tmp_path, capsys):
    assert publish(tmp_path / "out", "--results", runs) == 0
    assert "1 cells are in" in capsys.readouterr().out
    assert query.rows(tmp_path / "out").equals(query.rows(runs))
    assert list(runs.rglob("checkpoint.pt"))
    assert not list((tmp_path / "out").rglob("*.pt"))
    assert publish(tmp_path / "out", "--results", runs) == 0


def test_other_counts_are_only_replaced_when_asked(runs, tmp_path, capsys):
    publish(tmp_path, "--results", runs)
    stored = next(tmp_path.rglob("per_class.csv"))
    mine = stored.read_text().replace(",clean,", ",other,")
    stored.write_text(mine)
    assert publish(tmp_path, "--results", runs) == 1
    error = capsys.readouterr().err
    assert stored.parent.name in error
    assert "--replace" in error
    assert stored.read_text() == mine
    assert publish(tmp_path, "--results", runs, "--replace") == 0
    assert stored.read_text() != mine


@pytest.mark.parametrize("target", ["same", "absent"])
def test_a_wrong_folder_is_one_sentence(runs, tmp_path, capsys, target):
    words = (runs, "--results", runs) if target == "same" else (tmp_path / "out", "--results", tmp_path / "nowhere")
    assert publish(*words) != 0
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_failed_cell_stays_visible_and_one_under_way_is_left_out(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "runs")
    cell = next((tmp_path / "runs").glob("*/cell.json"))
    for status, names in (("failed", ["cell.json"]), ("running", [])):
        cell.write_text(json.dumps(json.loads(cell.read_text()) | {"status": status}))
        assert publish(tmp_path / status, "--results", tmp_path / "runs") == 0
        assert sorted(p.name for p in (tmp_path / status).glob("*/*")) == names
