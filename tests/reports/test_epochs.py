"""Best and last epoch: the table, the figure and `bench show` say what epochs.csv and cell.json hold."""

from __future__ import annotations

import numpy as np
import pytest

from bench.cli import main
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.reports.figures.epochs import EpochsFigure
from bench.reports.source import Source
from bench.reports.tables.epochs import Epochs
from bench.store import query

METHOD = "ce[validation=0.2,select=best[clean]]"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    axes = Axes(
        methods=(METHOD, "ce"),
        datasets=("digitslt",),
        irs=("2",),
        attacks=("clean",),
        epochs=3,
        limit=8,
        seeds=(0, 1),
        track=("clean",),
    )
    for task in expand(axes):
        run_cell(task, Settings(results=root, device="cpu"), lambda _: None)
    return root


def logs(root):
    """(kept epoch, epochs.csv, balanced clean accuracy in per cent of each epoch) of the cells that select."""
    source = Source(root)
    for name, cell in sorted(source.cells.items()):
        kept = cell.stages["train"].kept_epoch
        if kept is not None:
            frame, n = query.curves(root / name), np.asarray(cell.seen.test_counts["long-tailed"])
            recall = frame[[f"clean:{c}" for c in range(10)]].to_numpy() / n
            yield kept, frame, 100 * recall.mean(axis=1)


def test_no_cell_of_another_seed_is_stale(store):
    source = Source(store)
    assert source.problems == []
    assert len(source.cells) == 4


def test_the_table_holds_both_epochs_and_their_gap(store):
    (table,) = Epochs().tables(Source(store))
    (row,) = table.rows
    found = list(logs(store))
    assert row.labels[3] == ", ".join(f"{kept + 1}/3" for kept, _, _ in found)
    held = [(100 * f.validation[kept], 100 * f.validation.iloc[-1]) for kept, f, _ in found]
    test = [(balanced[kept], balanced[-1]) for kept, _, balanced in found]
    for values, cells in ((held, row.cells[:3]), (test, row.cells[3:])):
        best, last = np.mean(values, axis=0)
        assert [cell.value for cell in cells] == pytest.approx([best, last, last - best])
        assert all(cell.seeds[0] <= cell.value <= cell.seeds[1] for cell in cells)
    assert all(f.validation[kept] == f.validation.max() for kept, f, _ in found)
    assert Epochs().tables(Source(store), test_split="balanced") == []


def test_the_kept_epoch_is_the_one_that_is_evaluated(store):
    source = Source(store)
    selecting = [n for n, cell in sorted(source.cells.items()) if cell.stages["train"].kept_epoch is not None]
    for cell, (kept, frame, _) in zip(selecting, logs(store), strict=True):
        rows = source.rows[(source.rows.cell == cell) & (source.rows.attack == "clean")].sort_values("class_index")
        assert list(rows.correct) == [frame[f"clean:{c}"][kept] for c in range(10)]


def test_the_figure_marks_both_epochs(store):
    (figure,) = EpochsFigure().figures(Source(store), suffixes=("svg",))
    best, last = np.mean([(balanced[kept], balanced[-1]) for kept, _, balanced in logs(store)], axis=0)
    assert f"Clean {best:.1f}, {last:.1f}" in figure.alt
    assert figure.files["svg"].startswith(b"<?xml")


def test_show_says_which_epoch_the_weights_are_of(store, capsys):
    source = Source(store)
    name = next(n for n, cell in sorted(source.cells.items()) if cell.stages["train"].kept_epoch is not None)
    with pytest.raises(SystemExit):
        main(["show", name, "--results", str(store)])
    kept = source.cells[name].stages["train"].kept_epoch
    assert f"{kept + 1} of 3, best[clean]" in capsys.readouterr().out
