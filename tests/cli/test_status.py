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
from bench.errors import UsageError
from bench.store.folders import CellFolder, moved, new_cell
from bench.store.provenance.identity import code

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


def test_a_cell_between_two_stages_is_in_neither(root):
    spec = TASKS[3].spec
    cell = moved(new_cell(spec), "running", "train") | {"stages": {"train": {"seconds": 30.0}}}
    CellFolder(root, spec.id).write(cell)
    assert re.search(
        rf"^interrupted +{re.escape(spec.id)}  since 20\S+.*; after train$", status(root, "--all")[1], re.M
    )


def test_a_done_cell_of_older_code_says_so(root):
    spec = TASKS[0].spec
    cell = moved(new_cell(spec), "done") | {"evaluations": {"long-tailed/clean": {}}}
    for mark, told in ((code("methods", "ce"), ""), ("another", "made before changes to the code of method 'ce'")):
        CellFolder(root, spec.id).write(cell | {"inputs": {"method": mark}})
        text = status(root, "--all")[1]
        line = next(line for line in text.splitlines() if line.startswith("done "))
        assert line.partition(spec.id)[2].strip() == told
        assert ("1 of these by code that has changed since" in text) is bool(told)


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


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], [0, 1, 2, 3, 4, 5]),
        (["--status", "running,interrupted"], [2, 3]),
        (["--status", "to-do"], [4, 5]),
        (["--method", "ce"], [0, 1, 2]),
        (["--method", "at", "--seed", "0,2"], [3, 5]),
        (["--dataset", "digitslt", "--ir", "10", "--recipe", "paper", "--status", "done"], [0]),
        (["--ir", "natural,50"], []),
        (["--attack", "clean"], [0]),
        (["--model", "resnet18"], []),
        (["--reduced", "epochs=1 of 100"], [0, 1, 2, 3, 4, 5]),
        (["--reduced", "none"], []),
        (["--precision", "bf16"], []),
        (["--method", "ce[lr=0.1]"], []),
        (["--class-order", "natural", "--test-split", "long-tailed"], [0]),
    ],
)
def test_cells_are_listed_by_what_they_are_and_how_they_stand(root, words, wanted):
    (root / TASKS[4].spec.id / "cell.json").unlink()  # what is damaged says nothing of itself: here it is planned
    text = CliRunner().invoke(group, ["ls", "cells", "--results", str(root), *words], standalone_mode=False).stdout
    listed = sorted(next(t.spec.id for t in TASKS if t.spec.id in line) for line in text.splitlines())
    assert listed == sorted(TASKS[i].spec.id for i in wanted)


def test_the_list_is_data_too(root):
    done = CliRunner().invoke(group, ["ls", "cells", "--json", "--results", str(root), "--status", "failed"])
    (cell,) = json.loads(done.stdout)
    assert (cell["cell"], cell["reason"], cell["spec"]["method"]) == (
        TASKS[1].spec.id,
        "train: the loss became nan",
        "ce",
    )


@pytest.mark.parametrize("words", [["ls", "methods", "--method", "at"], ["ls", "cells", "--status", "gone"]])
def test_a_choice_that_means_nothing_is_refused(root, words):
    done = CliRunner().invoke(group, [*words, "--results", str(root)], standalone_mode=False)
    assert isinstance(done.exception, UsageError)


def test_a_dry_run_tells_what_is_under_way_from_what_is_to_do(root):
    words = ["run", "--methods", "ce,at", "--datasets", "digitslt", "--irs", "10", "--seeds", "0,1,2", "--epochs", "1",
             "--attacks", "clean", "--dry-run", "--results", str(root)]  # fmt: skip
    (root / TASKS[4].spec.id / "cell.json").unlink()
    text = CliRunner().invoke(group, words, standalone_mode=False).output
    _, failed, running, interrupted, _, planned = (re.escape(t.spec.id) for t in TASKS)
    assert re.search(rf"^running +{running}  .*process {os.getpid()}; train 7/20; since 20", text, re.M)
    assert re.search(rf"^interrupted +{interrupted}  .*in train; since 20", text, re.M)
    assert re.search(rf"^failed +{failed}  .*train: the loss became nan$", text, re.M)
    assert re.search(rf"^to do +{planned}  small-cnn paper", text, re.M)
    assert "(of them 1 running, 1 interrupted, 1 failed" in text
