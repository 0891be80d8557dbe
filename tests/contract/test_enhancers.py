"""What every enhancer keeps, whoever wrote it: words, imports, bytes of the base when off, and bytes when resumed."""

import ast
import copy
import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from bench.api import Enhancer
from bench.cli._explain import explain_enhancer
from bench.config import CellSpec, Recipe
from bench.engine.images.subset import load_data
from bench.engine.nets.network import build_network
from bench.engine.resume.checkpoint import load_checkpoint
from bench.engine.train import train
from bench.plugins import make_enhancers, make_method
from bench.registry import registry

NAMES = registry("enhancers").names()
OFF = [name for name in NAMES if registry("enhancers").get(name).off is not None]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    return load_data(spec())


def spec(name=None, settings=None, epochs=3):
    cls = None if name is None else registry("enhancers").get(name)
    pairs = () if cls is None else tuple(sorted(dataclasses.asdict(cls.Hparams(**(settings or {}))).items()))
    recipe = Recipe(epochs=epochs, full_epochs=epochs, batch_size=16, steps=2, milestones=(2,), factors=(0.1,))
    enhancers = () if name is None else ((name, pairs),)
    return CellSpec("at", "digitslt", 5.0, "small-cnn", 0, recipe=recipe, limit=8, enhancers=enhancers)


def trained(cell, data, start=None, epochs=None, **more):
    """The weights and statistics that are evaluated."""
    method = make_method(cell)
    network = build_network(cell.model, data.image, data.num_classes, method.build_head, 0)
    train(cell, data, network, method, CPU, enhancers=make_enhancers(cell), start=start, **more)
    return network.state_dict()


def same(one, other):
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("name", NAMES)
def test_words_and_imports(name):
    cls = registry("enhancers").get(name)
    assert issubclass(cls, Enhancer)
    module = sys.modules[cls.__module__]
    for text in (module.__doc__, cls.__doc__, cls.paper, cls.formula, cls.licence):
        assert text.strip()
    shown = explain_enhancer(name)
    assert cls.formula in shown
    assert all(field.name in shown for field in dataclasses.fields(cls.Hparams))
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert not (node.module or "").startswith("bench") or node.module == "bench.api"
    own = {field.name for field in dataclasses.fields(cls.Hparams)}
    assert {*cls.official, *(cls.off or {})} <= own


@pytest.mark.parametrize("name", OFF)
def test_switched_off_a_cell_has_the_bytes_of_its_base(name, data):
    off = registry("enhancers").get(name).off
    assert same(trained(spec(), data), trained(spec(name, off), data))


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_training_gives_the_same_bytes(name, data, tmp_path):
    settings = {"cfa-radius": {"begin": 1}, "dafa-radius": {"warm_up": 30}, "swa": {"begin": 0.3}}.get(name, {})
    cell, states = spec(name, settings), []
    path = tmp_path / "state.pt"

    def keep(_):
        states.append(copy.deepcopy(load_checkpoint(path)))

    whole = trained(cell, data, checkpoint=path, on_epoch=keep, checkpoint_seconds=0.0)
    for state in states[:-1]:
        assert same(whole, trained(cell, data, start=state))
    if name not in OFF:
        return
    assert not same(whole, trained(spec(), data)), "an enhancer that changes nothing"
