"""What every training method keeps: its words, recipes and ranges, a training, its resumption, bfloat16, no waiting."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Context, Method
from bench.config import Recipe, ThreatModel, format_value, make
from bench.engine.gradients.inner import ascend, plain_gradient
from bench.engine.settled import settle
from bench.plugins import phase_of
from bench.seeding import StreamNoise, isolated, torch_stream
from bench.testing.contract import Target, require
from bench.testing.contract.loop import goes_on, tiny_cell
from bench.testing.contract.shared import describes_itself, keeps_the_rules, refuses
from bench.testing.contract.waits import waits_for_nothing

CLASSES, COUNTS = 4, (40, 20, 10, 5)
EPOCHS, STEPS = 4, 2

Made = tuple[Method, "Tiny", Context]

BASE = Method


def checks(target: Target) -> Iterator[tuple[str, Callable[[], None]]]:
    """The words once, the trainings for each of the class's `small` settings."""
    cls: type[Method] = target.cls
    yield "describes itself", partial(words, target)
    yield "keeps the rules of a plug-in", partial(keeps_the_rules, target)
    yield "has two recipes", partial(recipes, cls)
    yield "refuses what does not fit", partial(refuses, cls.Hparams, cls.name, lambda v: settle(cls, v, "paper"))
    for settings in cls.small:
        inside = ",".join(f"{name}={format_value(value)}" for name, value in settings.items())
        shown = f" [{inside}]" if inside else ""
        yield f"trains{shown}", partial(trains, cls, settings)
        yield f"resumes after any epoch{shown}", partial(resumes, cls, settings)
        yield f"takes a step in bfloat16{shown}", partial(steps_in_bfloat16, cls, settings)
        yield f"waits for no device{shown}", partial(waits_for_nothing, cls, settings)


class Tiny(nn.Module):
    """What a method sees of a network: forward, features, head."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.head = head

    def features(self, x: Tensor) -> Tensor:
        """N x 64 of N x 3 x 8 x 8."""
        return self.backbone(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.features(x))  # type: ignore[no-any-return]


def words(target: Target) -> None:
    """Everything that `bench show method` prints is there."""
    describes_itself(target)
    cls: type[Method] = target.cls
    for name in ("formula", "licence", "cost"):
        require(getattr(cls, name).strip(), f"`{name}` of {cls.__name__} is empty; `bench show {cls.name}` prints it.")
    for field in dataclasses.fields(cls.Hparams):
        require(field.metadata.get("help"), f"the setting '{field.name}' has no help; make it with setting(help=...).")


def recipes(cls: type[Method]) -> None:
    """Both recipes resolve, cost at least a pass, and `official` names only fields that exist."""
    known = {f.name for f in (*dataclasses.fields(cls.Hparams), *dataclasses.fields(Recipe))}
    for name in ("always", "official"):
        unknown = sorted(set(getattr(cls, name)) - known)
        require(not unknown, f"`{name}` names settings that do not exist: {', '.join(unknown)}.")
    for recipe in ("paper", "official"):
        resolved, hparams, changed = settle(cls, {}, recipe)
        require(not changed, f"recipe={recipe} without settings is labelled '{changed}'.")
        method = cls(make(cls.Hparams, dict(hparams), cls.name))
        require(min(method.passes(resolved)) >= 1, f"passes() of recipe={recipe} is below one forward and backward.")
        prefix = method.shared_prefix(resolved)
        require(0 <= prefix <= resolved.epochs, f"shared_prefix() of recipe={recipe} is {prefix}, outside the run.")


def prepare(cls: type[Method], settings: Mapping[str, Any]) -> Made:
    """(method, network, context) at the start of a short run."""
    resolved, hparams, _ = settle(cls, {"steps": 2, **settings}, "paper", EPOCHS)
    method = cls(make(cls.Hparams, dict(hparams), cls.name))
    with isolated(0, "init"):
        network = Tiny(method.build_head(64, CLASSES) or nn.Linear(64, CLASSES)).train()
        others = {role: Tiny(nn.Linear(64, CLASSES)).eval() for role in method.cells() if role != "init"}
    context = Context(
        class_counts=torch.tensor(COUNTS),
        recipe=resolved,
        threat=ThreatModel(),
        ascend=ascend,
        gradient=plain_gradient,
        noise=StreamNoise(torch_stream(0, "setup"), torch.float32),
        networks=others,
        extra=extra,
    )
    method.setup(network, context)
    return method, network, context


def batch(epoch: int, step: int, context: Context | None = None) -> tuple[Tensor, Tensor]:
    """Eight images and labels, of which the context is told what the loop tells it."""
    generator = torch_stream(0, "batch", epoch, step)
    x = torch.rand((8, 3, 8, 8), generator=generator)
    y = torch.randint(CLASSES, (8,), generator=generator)
    if context is not None:
        context.epoch, context.step, context.batch = epoch, epoch * STEPS + step, step
        context.steps_per_epoch, context.labels = STEPS, y
        context.index = torch.randperm(sum(COUNTS), generator=torch_stream(0, "index", epoch, step))[:8]
    return x, y


def extra(count: int) -> tuple[Tensor, Tensor]:
    """Extra images and labels."""
    return torch.rand((count, 3, 8, 8), generator=torch_stream(0, "extra")), torch.arange(count) % CLASSES


def run(made: Made, epochs: range) -> None:
    """Train as the loop does, looking at everything the hooks give back."""
    method, network, context = made
    for epoch in epochs:
        context.lr = 0.05
        context.noise = StreamNoise(torch_stream(0, "inner", epoch), torch.float32)
        for step in range(STEPS):
            x, y = batch(epoch, step, context)
            x_adv = x if phase_of(method, context) == "natural" else method.perturb(network, x, y, context)
            require(x_adv.shape == x.shape, f"perturb() gives {tuple(x_adv.shape)} for images {tuple(x.shape)}.")
            require(not x_adv.requires_grad, "perturb() gives images with a graph; detach them.")
            require(0 <= float(x_adv.min()) <= float(x_adv.max()) <= 1, "perturb() leaves [0,1].")
            loss, logs = method.loss(network, x, x_adv, y, context)
            require(loss.shape == (), f"loss() gives a tensor of shape {tuple(loss.shape)}; it must be one number.")
            require(torch.isfinite(loss), f"loss() gives {float(loss.detach())} at epoch {epoch}.")
            for name, value in logs.items():
                require(value.numel() == 1 and not value.requires_grad, f"the logged '{name}' is no detached number.")
            require(all(module.training for module in network.modules()), "a hook leaves the network in eval mode.")
            network.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                for p in network.parameters():
                    p.sub_(context.lr * p.grad if p.grad is not None else 0.0)  # a frozen part has no gradient
        method.on_epoch_end(context)


def trains(cls: type[Method], settings: Mapping[str, Any]) -> None:
    """A short run moves the network; its form at inference gives logits and can be taken back."""
    method, network, _ = made = prepare(cls, settings)
    before = [p.detach().clone() for p in network.parameters()]
    run(made, range(EPOCHS))
    moved = any(not torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))
    require(moved, "no parameter of the network moves in a run.")
    network.eval()
    x, _ = batch(0, 0)
    method.deploy(network, False)
    trained = network(x)
    method.deploy(network, True)
    deployed = network(x)
    method.deploy(network, False)
    require(deployed.shape == (8, CLASSES), f"the deployed network gives {tuple(deployed.shape)}, not 8 x {CLASSES}.")
    require(torch.isfinite(deployed).all(), "the deployed network gives logits that are not finite.")
    same = torch.allclose(network(x), trained, rtol=1e-4, atol=1e-5)
    require(same, "deploy(False) does not bring back what deploy(True) changed.")


def resumes(cls: type[Method], settings: Mapping[str, Any]) -> None:
    """The real loop cut in two after any epoch gives the same weights as one that never stopped."""
    spec, _ = tiny_cell(cls, settings, EPOCHS)
    goes_on(spec, lambda: cls(make(cls.Hparams, dict(spec.hparams), cls.name)))


def steps_in_bfloat16(cls: type[Method], settings: Mapping[str, Any]) -> None:
    """A step under bfloat16 autocast, as `--precision bf16` runs it."""
    method, network, context = prepare(cls, settings)
    x, y = batch(EPOCHS - 1, 0, context)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x_adv = method.perturb(network, x, y, context)
        loss, _ = method.loss(network, x, x_adv, y, context)
    loss.backward()  # type: ignore[no-untyped-call]
    require(x_adv.dtype == torch.float32, f"perturb() gives {x_adv.dtype} images under bfloat16; keep float32.")
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    require(all(bool(torch.isfinite(g).all()) for g in gradients), "a gradient under bfloat16 is not finite.")
