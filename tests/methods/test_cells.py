"""Methods as the whole program runs them: a cell each, deployed heads, a method from another package."""

import os
import subprocess
import sys

import pytest
import torch

from bench.engine import cell as cell_module
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.registry import registry
from bench.store.results import Results

SMALL = {"las-at": "las-at[strategy_width=2,every=2]", "adt": "adt[inner_steps=2,samples=1]"}


def family(method, **changes):
    """The cell of a method, behind those that it goes on from."""
    axes = {"epochs": 2, "limit": 6, "attacks": ("clean", "fgsm"), "datasets": ("digitslt",), "irs": ("10",), **changes}
    return expand(Axes(methods=(method,), **axes))


def task(method, **changes):
    return family(method, **changes)[-1]


def run(cell, root):
    events = []
    run_cell(cell, Settings(results=root), events.append)
    return events[-1]


@pytest.mark.parametrize("name", registry("methods").names())
def test_every_method_runs_through_a_cell(name, tmp_path):
    *before, cell = family(SMALL.get(name, f"{name}[steps=2]"))
    for base in before:
        assert run(base, tmp_path)["event"] == "done"
    assert run(cell, tmp_path) == {"cell": cell.spec.id, "event": "done"}
    rows = Results(tmp_path).rows
    assert set(rows["attack"]) >= {"clean", "fgsm"}


@pytest.mark.parametrize(("name", "scale"), [("he[steps=1]", 10.0), ("robal[steps=1]", 10.0), ("he[steps=1,s=7]", 7.0)])
def test_attacks_see_the_deployed_head(name, scale, tmp_path, monkeypatch):
    seen, real = [], cell_module.evaluate

    def spy(network, images, *rest, **more):
        seen.append((network.head, network.head.scale, getattr(network.head, "deployed", True)))
        return real(network, images, *rest, **more)

    monkeypatch.setattr(cell_module, "evaluate", spy)
    assert run(task(name, track=("clean",)), tmp_path)["event"] == "done"
    assert {(s, d) for _, s, d in seen} == {(scale, True)}
    assert len(seen) == 4
    for head, _, _ in seen:
        assert not getattr(head, "deployed", False)


@pytest.mark.parametrize("name", ["he[steps=1]", "robal[steps=1]", "reat[steps=1]"])
def test_an_evaluation_does_not_disturb_training(name, tmp_path):
    ends = []
    for track in ((), ("clean",)):
        cell = task(name, track=track)
        assert run(cell, tmp_path / str(len(track)))["event"] == "done"
        ends.append(
            torch.load(tmp_path / str(len(track)) / cell.spec.id / "checkpoint.pt", weights_only=True)["network"]
        )
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


PLUGIN = '''
"""A method of another package."""

from torch.nn.functional import cross_entropy

from bench.api import Method, register


@register("methods")
class Halved(Method):
    """Half of the adversarial loss."""

    name = "halved"
    paper = "nobody, nowhere"
    formula = "L = CE(z(x'), y) / 2"

    def loss(self, model, x, x_adv, y, context):
        return cross_entropy(model(x_adv), y) / 2, {}
'''


def test_a_method_of_an_installed_package_runs(tmp_path):
    site = tmp_path / "site"
    (site / "foreign_methods").mkdir(parents=True)
    (site / "foreign_methods" / "__init__.py").touch()
    (site / "foreign_methods" / "halved.py").write_text(PLUGIN)
    info = site / "foreign_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-methods\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.methods]\nhalved = foreign_methods.halved:Halved\n")
    command = [
        sys.executable, "-m", "bench", "run", "--methods", "halved[steps=1]", "--datasets", "digitslt", "--irs", "10",
        "--seeds", "0", "--epochs", "1", "--limit", "6", "--attacks", "clean", "--jobs", "0",
        "--results", str(tmp_path / "runs"),
    ]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = Results(tmp_path / "runs").rows
    assert set(rows["method"]) == {"halved"}
