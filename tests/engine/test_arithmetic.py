"""The declared arithmetic of a cell holds wherever its network is built again, and for whatever it is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.engine import cell as cell_module
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.images.subset import load_data
from bench.engine.life.before import finished
from bench.engine.life.settings import Settings
from bench.engine.resume.checkpoint import load_checkpoint
from bench.store import query


def cell(**changes):
    axes = {"methods": ("ce",), "datasets": ("digitslt",), "irs": ("10",), "epochs": 1, "limit": 6, **changes}
    return expand(Axes(**{"attacks": ("clean",), "precision": "fp64", **axes}))[0]


def run(task, root):
    events = []
    run_cell(task, Settings(results=root), events.append)
    assert events[-1]["event"] == "done", events[-1]


class Stop(BaseException):
    """Stands for a kill: nothing catches it."""


def test_a_cell_of_doubles_goes_on_from_its_checkpoint_in_doubles(tmp_path, monkeypatch):
    seen, real = [], cell_module.evaluate

    def dying(*rest, **more):
        raise Stop

    def spy(network, *rest, **more):
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return real(network, *rest, **more)

    monkeypatch.setattr(cell_module, "evaluate", dying)
    with pytest.raises(Stop):
        run(cell(), tmp_path)
    monkeypatch.setattr(cell_module, "evaluate", spy)
    run(cell(), tmp_path)  # from the checkpoint
    run(cell(attacks=("clean", "fgsm")), tmp_path)  # of a finished cell
    stored = load_checkpoint(tmp_path / cell().spec.id / "checkpoint.pt")["network"]
    assert any((value != value.float()).any() for value in stored.values()), "the doubles are none of single precision"
    assert len(seen) == 2
    assert all(torch.equal(network[name], value) for network in seen for name, value in stored.items())


def test_features_of_doubles_are_doubles_of_the_network_that_was_judged(tmp_path):
    run(cell(), tmp_path)
    task = cell(features=True)
    run(task, tmp_path)
    folder = tmp_path / task.spec.id
    with np.load(folder / "features.npz") as stored:
        assert stored["features"].dtype == stored["logits"].dtype == np.float64
        correct = query.samples(folder)["long-tailed/clean"].astype(bool)
        assert ((stored["logits"].argmax(1) == stored["label"]) == correct).all()


def test_a_finished_cell_of_doubles_is_handed_on_unrounded(tmp_path):
    task, settings = cell(), Settings(results=tmp_path)
    run(task, tmp_path)
    before = finished(task.spec.id, settings)
    handed = before.network(load_data(task.spec, settings.data_root)).state_dict()
    assert all(torch.equal(handed[name], value) for name, value in before.weights.items())


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_features_are_in_the_arithmetic_of_verdicts(precision, tmp_path, monkeypatch):
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    seen, real = [], cell_module.to_float

    def spy(*rest, **more):
        seen.append((matmul.allow_tf32, cudnn.allow_tf32))
        return real(*rest, **more)

    monkeypatch.setattr(cell_module, "to_float", spy)
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True  # as a library may have it
    try:
        run(cell(precision=precision, features=True), tmp_path)
        after = matmul.allow_tf32, cudnn.allow_tf32
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
    assert set(seen) == {(False, False)}
    assert after == (True, True)
