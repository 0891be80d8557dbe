"""A folder in which cells are only begun: every verb says what there is, and none of them ends in a traceback.

Another process computes there, or was stopped before the first evaluation. `stale`: the cells were begun with two
versions of their methods, so that some are left out and the rest has no rows either.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

import bench
from bench.cli import group
from bench.engine.grid import Axes, expand
from bench.errors import BenchError
from bench.store.folders import CellFolder, moved, new_cell
from bench.store.results import Results
from bench.store.schema import LATER, PER_CLASS

GRID = ["--methods", "ce,at", "--datasets", "digitslt", "--irs", "10", "--seeds", "0,1", "--attacks", "clean"]
TASKS = expand(Axes(("ce", "at"), ("digitslt",), seeds=(0, 1), attacks=("clean",), epochs=1), None)
CELL = TASKS[0].spec.id


@pytest.fixture(params=["fresh", "stale"])
def runs(request, tmp_path) -> Path:
    for i, task in enumerate(TASKS):
        cell = moved(new_cell(task.spec), "running", "train")
        if request.param == "stale":
            cell |= {"inputs": {"method": f"{i % 2}" * 16}, "history": [{"at": f"2026-01-0{i + 1}"}]}
        CellFolder(tmp_path / "runs", task.spec.id).write(cell)
    return tmp_path / "runs"


def call(*words: object):
    """What a verb did; only an error that is a sentence may end it."""
    done = CliRunner().invoke(group, [str(word) for word in words], standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, BenchError):
        raise done.exception
    return done


#: verb and words -> what it says
VERBS = {
    ("run", *GRID, "--epochs", "1", "--dry-run"): "4 cells",
    ("status",): "4 interrupted",
    ("ls", "cells"): "interrupted",
    ("show", CELL): CELL,
    ("report", "--format", "html,markdown,latex,csv", "--output", "OUT"): "report.html",
    ("report", "--paper", "--output", "OUT"): "holds no number",
    ("findings",): "What cannot be said",
    ("check", "--against", "paper"): "",
    ("check", "--against", "SHIPPED"): "",
    ("compare", "ce", "at"): "holds no finished evaluation",
    ("verify",): "0 rows recomputed",
    ("export", "OUT"): "",
    ("publish", "OUT"): "nothing that can be published",
    ("publish", CELL, "--to", "OUT"): "not ",
    ("submit", CELL, "--to", "OUT", "--code", "https://example.org"): "not ",
}


@pytest.mark.parametrize("verb", VERBS, ids=lambda words: " ".join(words[:2]))
def test_every_verb_ends_in_a_sentence(runs, project, tmp_path, verb):
    places = {"OUT": tmp_path / "out", "SHIPPED": project / "results" / "golden"}
    done = call(*(places.get(word, word) for word in verb), "--results", runs)
    assert VERBS[verb] in f"{done.output}{done.exception or ''}"


def test_a_store_that_is_no_reference_says_so(runs, project):
    shipped = project / "results" / "golden"
    said = str(call("check", "--results", shipped, "--against", runs).exception)
    assert "holds no finished evaluation" in said or "is stale" in said
    done = call("compare", "--stores", shipped, runs)
    assert "share no evaluation" in str(done.exception)


def test_rows_that_are_none_have_their_columns(runs):
    assert list(Results(runs).rows.columns) == [*PER_CLASS, *LATER]
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        frame = bench.results(runs)
    assert len(frame) == 0
    assert {"method", "dataset", "attack", "n", "correct", "balanced", "worst_class"} <= {*frame.columns}


def test_a_run_leaves_begun_cells_to_the_process_that_computes_them(runs):
    """The score table at the end of `bench run` is read from a store without a row."""
    with ExitStack() as others:
        for task in TASKS:
            others.enter_context(CellFolder(runs, task.spec.id).locked())
        done = call("run", *GRID, "--epochs", "1", "--jobs", "0", "--device", "cpu", "--yes", "--results", runs)
    assert "run the same command again when it has ended" in done.output
    assert "Next:" not in done.output, "there is nothing to report yet"
    assert Results(runs).rows.empty
