"""Cells that differ only after their clean stage share it, and nothing in their numbers shows it."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from bench.config import Task
from bench.engine import cell
from bench.engine.grid import Axes, expand
from bench.engine.life import trained
from bench.engine.life.settings import Settings
from bench.engine.resume.checkpoint import load_checkpoint
from bench.store.folders import CellFolder
from bench.store.schema import CHECKPOINT, CURVES, ROWS

CPU = torch.device("cpu")
GRID = Axes(
    methods=("taet", "taet[beta=0.4]", "taet[steps=1]"),
    datasets=("digitslt",),
    irs=("10",),
    attacks=("clean", "fgsm"),
    epochs=5,
    limit=8,
)


def run(tasks: list[Task], root, sharing: bool, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Run cells; the number of epochs that each computed by itself."""
    settings, computed = Settings(results=root, device="cpu"), []
    with monkeypatch.context() as patch:
        if not sharing:
            patch.setattr(trained, "make_prefix", lambda *_: None)
        for task in tasks:
            events: list[dict] = []
            cell.run_cell(task, settings, events.append)
            assert events[-1]["event"] == "done", events[-1]
            computed.append(sum(e["event"] == "progress" and e["stage"] == "train" and e["at"] > 0 for e in events))
    return computed


def tensors(state: object) -> list[torch.Tensor]:
    """Every tensor of a checkpoint, in order."""
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [t for part in parts for t in tensors(part)]


def test_shared_and_unshared_cells_have_the_same_bytes(tmp_path, monkeypatch):
    tasks = expand(GRID)
    shared = run(tasks, tmp_path / "shared", True, monkeypatch)
    alone = run(tasks, tmp_path / "alone", False, monkeypatch)
    assert alone == [5, 5, 5]
    assert shared == [5, 3, 3], "the clean stage is 40 of 100 epochs, 2 of 5"
    assert len(list((tmp_path / "shared" / "prefixes").glob("*.pt"))) == 1
    for task in tasks:
        ours, theirs = (CellFolder(tmp_path / name, task.spec.id).path for name in ("shared", "alone"))
        assert (ours / ROWS).read_bytes() == (theirs / ROWS).read_bytes()
        a, b = (tensors(load_checkpoint(path / CHECKPOINT, CPU)) for path in (ours, theirs))
        assert len(a) == len(b) > 10
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        curves = [pd.read_csv(path / CURVES).drop(columns=["seconds", "peak_memory_mib"]) for path in (ours, theirs)]
        pd.testing.assert_frame_equal(*curves)


def test_a_cell_whose_whole_training_was_stored_has_the_checkpoint_of_one_that_trained(tmp_path, monkeypatch):
    recipes = ("paper", "official")
    axes = Axes(methods=("ce",), recipes=recipes, datasets=("digitslt",), attacks=("clean",), epochs=2, limit=6)
    first, second = expand(axes)
    assert run([first, second], tmp_path / "shared", True, monkeypatch) == [2, 0]
    assert run([second], tmp_path / "alone", False, monkeypatch) == [2]
    ours, theirs = (tmp_path / name / second.spec.id for name in ("shared", "alone"))
    assert (ours / ROWS).read_bytes() == (theirs / ROWS).read_bytes()
    a, b = (load_checkpoint(path / CHECKPOINT, CPU) for path in (ours, theirs))
    assert a.keys() == b.keys()
    assert (a["epoch"], a["step"], a["images"]) == (b["epoch"], b["step"], b["images"])
    assert len(tensors(a)) > 10
    assert all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


@pytest.mark.parametrize(
    "other", ["taet[lr=0.05]", "taet[batch_size=32]", "taet[ce_epochs=20]", "taet[extra_clean_forward=true]"]
)
def test_what_changes_the_clean_stage_is_not_shared(other, tmp_path, monkeypatch):
    tasks = expand(Axes(methods=("taet", other), datasets=("digitslt",), attacks=("clean",), epochs=5, limit=4))
    assert run(tasks, tmp_path, True, monkeypatch) == [5, 5]


def test_another_seed_has_its_own(tmp_path, monkeypatch):
    tasks = expand(Axes(methods=("taet",), datasets=("digitslt",), seeds=(0, 1), attacks=("clean",), epochs=5, limit=4))
    assert run(tasks, tmp_path, True, monkeypatch) == [5, 5]
    assert len(list((tmp_path / "prefixes").glob("*.pt"))) == 2
