"""What a cell hands to the attack suite: the arithmetic, and the images as the network saw them in training."""

import dataclasses

import numpy as np
import pytest
import torch

from bench.engine import cell as cell_module
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.store import query


def cell(**changes):
    axes = {"methods": ("ce",), "datasets": ("digitslt",), "irs": ("10",), "epochs": 1, "limit": 12, **changes}
    return expand(Axes(attacks=("clean", "fgsm"), **axes))[0]


def run(task, root):
    events = []
    run_cell(task, Settings(results=root), events.append)
    return events[-1]["event"]


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_attacks_and_verdicts_are_in_single_precision_whatever_trained_the_weights(precision, tmp_path, monkeypatch):
    seen, real = [], cell_module.evaluate

    def spy(network, *rest, **more):
        flags = matmul.allow_tf32, cudnn.allow_tf32
        seen.append((flags, torch.is_autocast_enabled("cpu"), next(network.parameters()).dtype))
        return real(network, *rest, **more)

    monkeypatch.setattr(cell_module, "evaluate", spy)
    task = cell(precision=precision)
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True
    try:
        assert run(task, tmp_path) == "done"
        after = matmul.allow_tf32, cudnn.allow_tf32
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
    assert seen == [((False, False), False, torch.float32)] * 2
    assert after == (True, True)


def test_enlarged_images_are_attacked_enlarged_and_as_bytes(tmp_path, monkeypatch):
    seen, real = [], cell_module.evaluate

    def spy(network, images, *rest, **more):
        seen.append((images.dtype, tuple(images.shape[1:])))
        return real(network, images, *rest, **more)

    monkeypatch.setattr(cell_module, "evaluate", spy)
    task = cell(features=True)
    recipe = dataclasses.replace(task.spec.recipe, resize=16)
    task = dataclasses.replace(task, spec=dataclasses.replace(task.spec, recipe=recipe))
    assert run(task, tmp_path) == "done"
    assert seen == [(torch.uint8, (16, 16, 1))] * 2
    with np.load(tmp_path / task.spec.id / "features.npz") as stored:
        correct = query.samples(tmp_path / task.spec.id)["long-tailed/clean"].astype(bool)
        assert ((stored["logits"].argmax(1) == stored["label"]) == correct).all()
