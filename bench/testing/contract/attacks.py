"""What every evaluation attack keeps: its words, its budget, the network as it was, verdicts that no batch decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from bench.api import Attack
from bench.config import AttackSpec, ThreatModel
from bench.engine.suite import build, evaluate
from bench.engine.verdicts.budget import within
from bench.engine.verdicts.oracle import NetworkOracle
from bench.seeding import CounterNoise, isolated, torch_stream
from bench.testing.contract import Target, require
from bench.testing.contract.shared import describes_itself, keeps_the_rules, refuses

EPS = 0.05

BASE = Attack


def checks(target: Target) -> Iterator[tuple[str, Callable[[], None]]]:
    """With the class's `small` parameters wherever it runs."""
    cls: type[Attack] = target.cls
    yield "describes itself", partial(words, target)
    yield "keeps the rules of a plug-in", partial(keeps_the_rules, target)
    yield "refuses what does not fit", partial(refuses, cls.Params, cls.name)
    yield "states its cost", partial(cost, cls)
    for classes in (2, 4, 11):
        yield f"stays in its budget [{classes} classes]", partial(budget, cls, classes)
    yield "gives verdicts that no batch decides", partial(verdicts, cls)


def small(cls: type[Attack]) -> AttackSpec:
    """The attack with its `small` parameters."""
    return AttackSpec(cls.name, tuple(sorted(cls.small.items())))


def network(classes: int = 4) -> tuple[nn.Module, Tensor, Tensor]:
    """(network in train mode, ten images, labels of which the first alone is wrong)."""
    with isolated(0, "net"):
        net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(24, classes))
    x = torch.rand(10, 3, 4, 4, generator=torch_stream(0, "x"))
    with torch.no_grad():
        y = net.eval()(x).argmax(1)
    y[0] = (y[0] + 1) % classes
    return net.train(), x, y


def words(target: Target) -> None:
    """Docstring, rank, and a line of help a parameter."""
    describes_itself(target)
    cls: type[Attack] = target.cls
    require(cls.strength is None or isinstance(cls.strength, int), f"strength={cls.strength!r} is no rank.")
    for field in dataclasses.fields(cls.Params):
        require(field.metadata.get("help"), f"the parameter '{field.name}' has no help; make it with setting(help=).")


def cost(cls: type[Attack]) -> None:
    """Passes for the estimate, notes and engine for the row."""
    attack = build(AttackSpec(cls.name), ThreatModel(), 10)
    forward, backward = attack.passes()
    require(forward >= 1 and backward >= 0, f"passes() gives {forward}, {backward}; it takes a forward pass.")
    require(
        attack.white_box == (backward > 0), f"white_box={attack.white_box}, and passes() states {backward} backward."
    )
    require(all(isinstance(n, str) and n for n in attack.notes()), "notes() holds something else than sentences.")
    require(attack.engine, "engine is empty; it is stored with every row.")


def budget(cls: type[Attack], classes: int) -> None:
    """Answers lie in the ball and in [0,1]; images and network are what they were."""
    net, x, y = network(classes)
    before, kept = {k: v.clone() for k, v in net.state_dict().items()}, x.clone()
    attack = build(small(cls), ThreatModel(EPS), classes)
    noise = CounterNoise(0, "test", images=torch.arange(10), dtype=x.dtype)
    with NetworkOracle(net, classes, probe=x) as oracle:
        for stage in attack.stages():
            answer = stage.run(oracle, x, y, noise.subset(torch.arange(10)))
            who = type(stage).__name__
            require(answer.shape == x.shape, f"{who} answers {tuple(answer.shape)} to images {tuple(x.shape)}.")
            require(answer.dtype == x.dtype, f"{who} answers {answer.dtype} to {x.dtype}.")
            require(not answer.requires_grad, f"{who} answers with a graph; detach it.")
            require(stage.norm == attack.norm, f"{who} states the norm {stage.norm}, its attack {attack.norm}.")
            require(bool(((answer >= 0) & (answer <= 1)).all()), f"{who} leaves [0,1].")
            farthest = float((answer.double() - x.double()).abs().max())
            require(within(answer, x, attack).all(), f"{who} goes {farthest:.4g} far, beyond its radius {EPS}.")
    require(torch.equal(x, kept), "the attack writes into the images it was given.")
    changed = [name for name, value in net.state_dict().items() if not torch.equal(before[name], value)]
    require(not changed, f"the attack changes the network: {', '.join(changed)}.")
    require(all(p.requires_grad and p.grad is None for p in net.parameters()), "the attack leaves gradients behind.")
    require(all(module.training for module in net.modules()), "the attack leaves the network in another mode.")


def verdicts(cls: type[Attack]) -> None:
    """The same seed gives the same verdicts, in batches of ten or of three."""
    net, x, y = network()
    net, x = net.double(), x.double()
    options = {"threat": ThreatModel(EPS), "num_classes": 4, "root_seed": 1}
    runs = [evaluate(net, x, y, torch.arange(10), [small(cls)], batch_size=size, **options) for size in (10, 10, 3)]  # type: ignore[arg-type]
    first, second, third = (next(iter(run.attacks.values())) for run in runs)
    require(torch.equal(torch.as_tensor(first.correct), torch.as_tensor(second.correct)), "two runs differ.")
    require(
        torch.equal(torch.as_tensor(first.correct), torch.as_tensor(third.correct)),
        "batches of 3 and of 10 differ.",
    )
    expected = 9 if cls.only_correct else 10
    attacked = first.stages[0].attacked
    require(attacked == expected, f"{attacked} of 10 images are attacked; only_correct={cls.only_correct}: {expected}.")
