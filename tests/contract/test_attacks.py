"""What every attack must keep, whoever wrote it; a new file in bench/attacks is found by itself."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from bench.api import Attack
from bench.config import AttackSpec, ThreatModel
from bench.engine.suite import build, evaluate, within
from bench.engine.verdicts.oracle import NetworkOracle
from bench.registry import registry
from bench.seeding import CounterNoise, isolated

NAMES = registry("attacks").names()
EPS = 0.05


def small(name: str) -> AttackSpec:
    """The attack with its longest loops shortened."""
    fields = {f.name for f in dataclasses.fields(registry("attacks").get(name).Params)}
    return AttackSpec(name, tuple((k, v) for k, v in (("queries", 20), ("steps", 3)) if k in fields))


def network(classes: int = 4) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    with isolated(0, "net"):
        net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(24, classes))
        x = torch.rand(10, 3, 4, 4)
    with torch.no_grad():
        y = net.eval()(x).argmax(1)
    y[0] = (y[0] + 1) % classes
    return net.train(), x, y


@pytest.mark.parametrize("name", NAMES)
def test_declares_itself(name: str) -> None:
    cls = registry("attacks").get(name)
    assert issubclass(cls, Attack)
    assert cls.__doc__
    assert registry("attacks").origin(name).describe().rstrip().endswith(".")
    assert cls.norm in {"linf", "l2", "none"}
    assert cls.strength is None or isinstance(cls.strength, int)
    for field in dataclasses.fields(cls.Params):
        assert field.default is not dataclasses.MISSING
        assert field.metadata.get("help"), field.name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 4, 11])
def test_answers_are_within_the_budget_and_leave_everything_as_it_was(name: str, classes: int) -> None:
    net, x, y = network(classes)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    attack, kept = build(small(name), ThreatModel(EPS), classes), x.clone()
    noise = CounterNoise(0, "test", images=torch.arange(10), dtype=x.dtype)
    with NetworkOracle(net, classes, probe=x) as oracle:
        for stage in attack.stages():
            answer = stage.run(oracle, x, y, noise.subset(torch.arange(10)))
            assert answer.shape == x.shape
            assert answer.dtype == x.dtype
            assert not answer.requires_grad
            assert stage.norm == attack.norm
            wide = answer.double()
            assert bool(((wide >= 0) & (wide <= 1)).all())
            if stage.norm == "linf":
                assert float((wide - x.double()).abs().max()) <= EPS + 1e-6
            assert within(answer, x, attack).all()
    assert torch.equal(x, kept)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(m.training for m in net.modules())


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_verdicts_and_batches_do_not_matter(name: str) -> None:
    net, x, y = network()
    net, x = net.double(), x.double()
    runs = [
        evaluate(
            net,
            x,
            y,
            torch.arange(10),
            [small(name)],
            threat=ThreatModel(EPS),
            num_classes=4,
            root_seed=1,
            batch_size=size,
        )
        for size in (10, 10, 3)
    ]
    first, second, third = (next(iter(run.attacks.values())) for run in runs)
    assert first.correct.tolist() == second.correct.tolist() == third.correct.tolist()
    assert first.stages[0].attacked == (9 if registry("attacks").get(name).only_correct else 10)


@pytest.mark.parametrize("name", NAMES)
def test_states_its_cost_and_notes(name: str) -> None:
    attack = build(AttackSpec(name), ThreatModel(), 10)
    forward, backward = attack.passes()
    assert forward >= 1 and backward >= 0 and attack.white_box == (backward > 0)  # noqa: PT018
    assert all(isinstance(note, str) and note for note in attack.notes())
    assert attack.engine
