"""`bench status` on folders in every state, as a user calls it."""

from __future__ import annotations

import json
import os
import re

import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.engine.executors import share
from bench.engine.grid import Axes, expand
from bench.engine.life.failure import mark_failed
from bench.engine.life.settings import Settings
from bench.store.folders import CellFolder, moved, new_cell

TASKS = expand(Axes(("ce", "at"), ("digitslt",), seeds=(0, 1, 2), attacks=("clean",), epochs=1), None)


@pytest.fixture
def root(tmp_path):
    """Six cells: done, failed, running here, interrupted, damaged, planned."""
    share.write(TASKS, Settings(results=tmp_path))
    done, failed, running, interrupted, damaged, _ = TASKS
    cell = moved(new_cell(done.spec), "done") | {"evaluations": {"long-tailed/clean": {}}}
    CellFolder(tmp_path, done.spec.id).write(cell | {"stages": {"train": {"seconds": 30.0}}})
    mark_failed(tmp_path, failed, "train", "the loss became nan")
    CellFolder(tmp_path, running.spec.id).write(moved(new_cell(running.spec), "running", "train"))
    CellFolder(tmp_path, interrupted.spec.id).write(moved(new_cell(interrupted.spec), "running", "train"))
    (tmp_path / damaged.spec.id).mkdir()
    (tmp_path / damaged.spec.id / "cell.json").write_text("{")
    with CellFolder(tmp_path, running.spec.id).locked() as lease:
        lease.note(stage="train", at=7, of=20)
        yield tmp_path


def status(root, *words):
    """(exit code, output) of the verb."""
    done = CliRunner().invoke(group, ["status", "--results", str(root), *words], standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.output


def test_every_state_is_told_with_its_reason(root):
    code, text = status(root, "--all")
    assert code == 1
    done, failed, running, interrupted, damaged, planned = (re.escape(t.spec.id) for t in TASKS)
    assert re.search(rf"^running +{running}  \S+, process {os.getpid()}; train 7/20; since 20", text, re.M)
    assert re.search(rf"^failed +{failed}  train: the loss became nan$", text, re.M)
    assert re.search(rf"^interrupted +{interrupted}  in train; since 20", text, re.M)
    assert re.search(rf"^damaged +{damaged}  cell.json cannot be understood", text, re.M)
    assert re.search(rf"^to do +{planned}$", text, re.M)
    assert re.search(rf"^done +{done}$", text, re.M)
    assert text.splitlines()[-1].startswith("6 cells: 1 running, 1 interrupted, 1 failed, 1 damaged, 1 to do, 1 done;")


def test_json_holds_the_same(root):
    _, text = status(root, "--json")
    told = json.loads(text)
    assert told["counts"] == dict.fromkeys(("running", "interrupted", "failed", "damaged", "to do", "done"), 1)
    assert {c["cell"] for c in told["cells"]} == {t.spec.id for t in TASKS}
    assert told["seconds_left"] == 90.0


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    done = CliRunner().invoke(group, ["status", "--results", str(tmp_path / "no")])
    assert done.exit_code == 1
    assert "does not exist" in str(done.exception)


def test_a_grid_that_is_done_is_not_planned_any_more(tmp_path):
    share.write(TASKS, Settings(results=tmp_path))
    assert status(tmp_path)[1].splitlines()[-1] == "6 cells: 6 to do."
    share.clear(tmp_path)
    assert status(tmp_path)[1].splitlines()[-1] == "6 cells: 6 to do."
    for file in (tmp_path / ".grids").iterdir():
        plain = json.loads(file.read_text())
        file.write_text(json.dumps(plain | {"tasks": []}))
    share.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
