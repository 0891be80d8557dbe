"""Parts of a grid whose cells go on from one another can be computed in any order, each by itself."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from bench.cli import group
from bench.cli.options.grid import share_of
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.errors import UsageError

SMALL = {"datasets": ("digitslt",), "irs": ("3",), "epochs": 1, "attacks": ("clean",), "limit": 4}


def tasks(methods, seeds=(0, 1)):
    return expand(Axes(methods=methods, seeds=seeds, **SMALL))


@pytest.mark.parametrize("methods", [("crt", "lws", "at"), ("plain", "rw-fine"), ("at", "ce"), ("crt[base=at]", "lws")])
@pytest.mark.parametrize("count", [2, 3])
def test_every_cell_is_in_one_part_with_those_it_goes_on_from(methods, count):
    whole = tasks(methods)
    parts = [share_of(whole, f"{i}/{count}") for i in range(1, count + 1)]
    assert sorted(t.spec.id for part in parts for t in part) == sorted(t.spec.id for t in whole)
    for part in parts:
        there: set[str] = set()
        for task in part:
            assert {cell for _, cell in task.spec.cells} <= there
            there.add(task.spec.id)


def test_a_part_without_a_cell_is_nothing_to_do_and_no_fault(tmp_path):
    words = ["run", "--methods", "ce", "--datasets", "digitslt", "--irs", "10", "--epochs", "1", "--attacks", "clean"]
    words += ["--shard", "2/2", "--results", str(tmp_path / "x")]
    done = CliRunner().invoke(group, words, standalone_mode=False)
    assert (done.exception, done.return_value) == (None, 0)
    assert done.output == "no cell of the grid is in this part of it (--shard): nothing to do.\n"
    assert not (tmp_path / "x").exists()
    done = CliRunner().invoke(group, [*words, "--json"], standalone_mode=False)
    assert json.loads(done.stdout)["grid"] == []


def test_cells_that_stand_alone_are_dealt_out_in_turn():
    whole = tasks(("at", "ce", "trades"))
    assert [share_of(whole, f"{i}/2") for i in (1, 2)] == [whole[::2], whole[1::2]]


@pytest.mark.parametrize(
    "shard", ["", "1", "1/", "/2", "0/2", "3/2", "1/2/3", "-1/2", f"1/{'9' * 5000}", "a/b", " 1/2"]
)
def test_what_is_no_part_is_one_sentence(shard):
    with pytest.raises(UsageError, match="write i/n with i from 1 to n"):
        share_of([], shard)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_parts_with_second_stages_run_in_either_order(order, tmp_path):
    whole, ends = tasks(("lws",)), []
    for part in order:
        for task in share_of(whole, f"{part}/2"):
            run_cell(task, Settings(results=tmp_path, device="cpu"), ends.append)
    assert [e["event"] for e in ends if e["event"] in ("done", "failed")] == ["done"] * 4
