"""The real training loop on a little noise: what every hook is called from, whole or cut in two."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Method
from bench.config import CellSpec, make
from bench.engine.images.invented import invented
from bench.engine.images.subset import CellData
from bench.engine.nets.network import build_network
from bench.engine.resume.checkpoint import load_checkpoint
from bench.engine.settled import settle
from bench.engine.train import train
from bench.plugins import make_enhancers
from bench.seeding import torch_stream
from bench.testing.contract import require

#: as in a CellSpec: name and settings of each
Enhancers = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
CLASSES = 4
Weights = dict[str, Tensor]


def noise_data(n: int) -> CellData:
    """A labelled set of n noise images, 8 x 8 x 1, of four classes, as a cell's data; they are its extra ones too."""
    x = (torch.rand(n, 8, 8, 1, generator=torch_stream(0, "x")) * 255).to(torch.uint8)
    return invented(x, CLASSES, extra=True)


def tiny_cell(
    cls: type[Method], settings: Mapping[str, Any], epochs: int = 2, enhancers: Enhancers = ()
) -> tuple[CellSpec, Method]:
    """(cell, method object) of a few epochs with two attack steps on batches of eight."""
    short = {"batch_size": 8, "steps": 2, "augment": "none", "lr": 1e-3}
    recipe, hparams, _ = settle(cls, {**short, **settings}, "paper")
    recipe = dataclasses.replace(recipe, epochs=epochs)
    spec = CellSpec(cls.name, "noise", 10.0, "small-cnn", 0, recipe=recipe, hparams=hparams, enhancers=enhancers)
    return spec, cls(make(cls.Hparams, dict(hparams), cls.name))


def run(
    spec: CellSpec,
    method: Method,
    images: int,
    start: Mapping[str, Any] | None = None,
    states: list[dict[str, Any]] | None = None,
) -> Weights:
    """Train a tiny cell; the weights and statistics that are evaluated. `states` gains the checkpoint of each epoch.

    The networks that a method asks for are drawn, not trained.
    """

    def fresh(head: Any = None) -> nn.Module:
        return build_network("small-cnn", (1, 8, 8), CLASSES, head, 0)

    network = fresh(method.build_head)
    others = {role: fresh() for role in method.cells() if role != "init"}
    known: dict[str, Any] = {"enhancers": make_enhancers(spec), "networks": others, "start": start}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.pt"
        if states is not None:
            known |= {"checkpoint": path, "checkpoint_seconds": 0.0}
            known |= {"on_epoch": lambda _: states.append(load_checkpoint(path))}
        train(spec, noise_data(images), network, method, torch.device("cpu"), **known)
    return network.state_dict()


def goes_on(spec: CellSpec, make_again: Callable[[], Method], images: int = 16) -> Weights:
    """The weights after a whole run, equal to those of runs that go on after each of its epochs (checked here)."""
    states: list[dict[str, Any]] = []
    whole = run(spec, make_again(), images, states=states)
    for cut, state in enumerate(states[:-1], 1):
        again = run(spec, make_again(), images, start=state)
        wrong = [name for name, value in again.items() if not torch.equal(value, whole[name])]
        require(not wrong, f"a run resumed after epoch {cut} ends with another {wrong[:1]}; state() lacks something.")
    return whole
