"""A cell keeps what is its own: curves drawn later are of its network, and who lost its lease removes nothing."""

from __future__ import annotations

import pytest
import torch

from bench.engine import cell as cell_module
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life import trained
from bench.engine.life.settings import Settings
from bench.engine.verdicts.chunks import Partial
from bench.store import lease
from bench.store.folders import read_cell

FILES = ("epochs.csv", "per_class.csv", "per_sample.npz", "checkpoint.pt")


def task(*track, attacks=("clean",)):
    axes = Axes(methods=("ce",), datasets=("digitslt",), irs=("10",), epochs=2, limit=6, attacks=attacks, track=track)
    return expand(axes)[0]


def run(cell, root):
    events = []
    run_cell(cell, Settings(results=root), events.append)
    return events[-1]


def test_curves_of_another_network_are_refused_and_those_of_before_stay(tmp_path, monkeypatch):
    assert run(task("clean"), tmp_path)["event"] == "done"
    folder, real = tmp_path / task().spec.id, trained.train
    before = {name: (folder / name).read_bytes() for name in FILES}

    def elsewhere(spec, data, network, *rest, **more):
        done = real(spec, data, network, *rest, **more)
        with torch.no_grad():
            network.head.bias.add_(1e-6)  # as another kind of machine would round
        return done

    with monkeypatch.context() as patch:
        patch.setattr(trained, "train", elsewhere)
        end = run(task("fgsm"), tmp_path)
    assert (end["event"], end["stage"]) == ("failed", "curves")
    assert "would not be of this cell's weights" in end["message"]
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    assert read_cell(folder)["tracked"] == ["clean"]
    assert not (folder / "curves.pt").exists(), "the next attempt must train from the beginning"
    assert run(task("fgsm"), tmp_path)["event"] == "done"
    assert read_cell(folder)["tracked"] == ["clean", "fgsm"]


@pytest.mark.parametrize(("step", "cleared"), [("_store", 0), ("_tidy", 1)])
def test_who_was_overtaken_removes_no_partial_verdicts(step, cleared, tmp_path, monkeypatch):
    """The lease is lost after the last write of an attack, or of the cell, and before what is left is removed."""
    removed, real = [], getattr(cell_module.CellRun, step)

    def overtaken(self, *rest):
        room = lease.over(self.folder.path / "cell.json").room
        if step == "_store":
            real(self, *rest)
        room.rename(room.with_name("over"))
        if step == "_tidy":
            real(self, *rest)

    monkeypatch.setattr(cell_module.CellRun, step, overtaken)
    monkeypatch.setattr(Partial, "clear", lambda _, keys: removed.append(keys))
    assert run(task(), tmp_path)["event"] == "elsewhere"
    assert len(removed) == cleared
