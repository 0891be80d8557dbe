"""One step of a method, one loss, one attack, with everything given and everything shown."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, Method, Noise, Step
from bench.config import ThreatModel, make
from bench.engine.gradients.inner import ascend, plain_gradient
from bench.engine.learner import Learner
from bench.engine.settled import settle
from bench.engine.step import finish, gradient
from bench.engine.verdicts.oracle import NetworkOracle
from bench.errors import UsageError, did_you_mean
from bench.plugins import phase_of
from bench.registry import registry
from bench.seeding import CounterNoise, StreamNoise, isolated, torch_stream
from bench.testing.wrap import Counted, Given, needed


@dataclass(frozen=True)
class StepResult:
    """One training step. Names in `grads`, `parameters` and `buffers` are those of the network given.

    `x_adv`: None in a natural phase. `parameters`, `buffers`: after the loss, before the optimiser's step (perturbed
    where an enhancer perturbs them); `after`: parameters after it. `forward_counts`: calls of the network by mode
    (`frozen_train_mode`: running statistics left alone), without the `enhancer_forwards` made before the gradient.
    `enhancers`: as they are after the step. `extras`: what the method shows
    (GAIRAT `kappa`, `weights`; LAS-AT `policies`, `rewards`; HARL and TAET `class_losses`).
    """

    loss: float
    x_adv: Tensor | None
    grads: dict[str, Tensor]
    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    forward_counts: dict[str, int]
    logs: dict[str, float]
    extras: dict[str, Any]
    state: dict[str, Any]
    after: dict[str, Tensor] = field(default_factory=dict)
    enhancers: Sequence[Enhancer] = ()
    enhancer_forwards: int = 0


@dataclass(frozen=True)
class LossResult:
    """A loss on given arrays: its value, the parts the method logs, and gradients by array name.

    `outputs`: what the term returned, where that is no scalar. `extras`: as in StepResult.
    """

    loss: float | None
    parts: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[Tensor, ...] = ()
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AttackResult:
    """An attack's images, the predictions on them, and the number of forward passes of the batch."""

    x_adv: Tensor
    predictions: Tensor
    forwards: float


def make_method(
    name: str, settings: Mapping[str, Any] | None, recipe: str, epochs: int | None = None
) -> tuple[Method, Any]:
    """(method, resolved recipe) from settings as the command line takes them. Raises UsageError.

    `epochs`: length of the training, which is then the recipe's full length.
    """
    cls: type[Method] = registry("methods").get(name)
    resolved, hparams, _ = settle(cls, settings or {}, recipe)
    method: Method = cls(make(cls.Hparams, dict(hparams), name))
    return method, resolved if epochs is None else replace(resolved, epochs=epochs, full_epochs=epochs)


def step(
    method: str,
    *,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    class_counts: Sequence[int] | Tensor,
    hparams: Mapping[str, Any] | None = None,
    recipe: str = "paper",
    noise: Noise | None = None,
    epoch: int = 0,
    epochs: int | None = None,
    step_index: int = 0,
    lr: float | None = None,
    threat: ThreatModel | None = None,
    state: Mapping[str, Any] | None = None,
    policies: Sequence[Mapping[str, float]] | None = None,
    enhancers: Sequence[tuple[str, Mapping[str, Any]]] = (),
    momentum_buffers: Mapping[str, Tensor] | None = None,
) -> StepResult:
    """One step of a method and its optimiser on a copy of `model`, which starts in train mode.

    x: N x channels x H x W in [0,1]; y: N labels; `class_counts`: training images a class. `hparams` may name the
    method's settings and fields of the recipe (eps, step, steps, ...). `noise` replaces all random draws. `state` is
    given to the method's `load_state`; `policies` replaces LAS-AT's drawn ones (mappings with eps_255, iters,
    step_255). `enhancers`: (name, settings) of each. `momentum_buffers`: the optimiser's, by parameter. `epochs`: as in
    `make_method`. Methods with a head of their own (HE, RoBal) expect a `model` that gives cosines. Raises UsageError.
    """
    network = Counted(copy.deepcopy(model)).train()
    chosen, resolved = make_method(method, hparams, recipe, epochs)
    context = context_for(resolved, class_counts, x, noise, epoch, threat)
    context.step, context.lr = step_index, resolved.lr_at(epoch) if lr is None else lr
    chosen.setup(network, context)
    if state is not None:
        chosen.load_state({**chosen.state(), **state})
    if policies is not None:
        if not hasattr(chosen, "given"):
            raise UsageError(f"{method} draws no policies; leave `policies` out.")
        chosen.fixed = chosen.given(policies, x, context)  # type: ignore[attr-defined]
    tricks = [make_enhancer(*enhancer, recipe) for enhancer in enhancers]
    for trick in tricks:
        trick.setup(network, context)
    aside = count_aside(network, tricks)
    context.changes = tuple(trick.inner for trick in tricks)
    optimizer = torch.optim.SGD(
        network.net.parameters(),
        lr=context.lr,
        momentum=resolved.momentum,
        weight_decay=resolved.weight_decay,
        nesterov=resolved.nesterov,
    )
    named = dict(network.net.named_parameters())
    for name, buffer in (momentum_buffers or {}).items():
        optimizer.state[named[name]]["momentum_buffer"] = buffer.clone()
    phase = phase_of(chosen, context)
    learner = Learner(network, chosen, tricks, optimizer)
    taken = gradient(learner, x, y, context, phase)
    result = StepResult(
        loss=float(taken.loss.detach()),
        x_adv=None if phase == "natural" else taken.x_adv.detach(),
        grads={name: p.grad.clone() for name, p in named.items() if p.grad is not None},
        parameters={name: p.detach().clone() for name, p in named.items()},
        buffers={name: b.clone() for name, b in network.net.named_buffers()},
        forward_counts={mode: count - aside[mode] for mode, count in network.counts.items()},
        logs={name: float(value) for name, value in taken.logs.items()},
        extras=dict(context.extras),
        state=chosen.state(),
        enhancers=tricks,
        enhancer_forwards=sum(aside.values()),
    )
    finish(learner, context)
    return replace(result, after={name: p.detach().clone() for name, p in named.items()})


def make_enhancer(name: str, settings: Mapping[str, Any], recipe: str = "paper") -> Enhancer:
    """A registered enhancer with settings as the command line takes them. Raises UsageError."""
    cls: type[Enhancer] = registry("enhancers").get(name)
    base = dict(cls.official) if recipe == "official" else {}
    made: Enhancer = cls(make(cls.Hparams, {**base, **settings}, name))
    return made


def count_aside(network: Counted, tricks: Sequence[Enhancer]) -> dict[str, int]:
    """Calls by mode that enhancers make before the gradient is taken, counted from now on."""
    aside = dict.fromkeys(network.counts, 0)

    def counted(hook: Callable[[Step], None]) -> Callable[[Step], None]:
        def call(step: Step) -> None:
            before = dict(network.counts)
            hook(step)
            for mode in aside:
                aside[mode] += network.counts[mode] - before[mode]

        return call

    for trick in tricks:
        vars(trick)["before_gradient"] = counted(trick.before_gradient)
    return aside


def loss(
    method: str,
    *,
    y: Tensor | None = None,
    class_counts: Sequence[int] | Tensor = (1, 1),
    part: str = "loss",
    hparams: Mapping[str, Any] | None = None,
    recipe: str = "paper",
    noise: Noise | None = None,
    epoch: int | None = None,
    state: Mapping[str, Any] | None = None,
    extras: Mapping[str, Any] | None = None,
    enhancers: Sequence[tuple[str, Mapping[str, Any]]] = (),
    **arrays: Any,
) -> LossResult:
    """A method's outer loss on given logits, or the term of it that its method `part` computes.

    `part="loss"`: arrays `clean` and `adv` (logits N x C of clean and adversarial images, as the method needs them) and
    `features` (N x D, adversarial). `extras`: what the attack would have left (GAIRAT: `kappa`). Any other `part` is a
    function of the plug-in and takes its arrays by parameter name: RoBal `margin_loss(adv)`, REAT `rebalanced(adv)`
    and `tail(features)`, GAIRAT `weights(kappa)`, LAS-AT `smoothed(adv)` and `policy_loss(heads, actions, reward)`,
    ADT `perturbation(phi)`. `epoch`: the last one by default, so that every stage is under way. Raises UsageError.
    """
    chosen, resolved = make_method(method, hparams, recipe)
    leaves = {name: _leaf(value) for name, value in arrays.items()}
    example = next((leaf for leaf in _tensors(leaves) if leaf.is_floating_point()), torch.zeros(1))
    context = context_for(resolved, class_counts, example, noise, resolved.epochs - 1 if epoch is None else epoch, None)
    context.extras.update(extras or {})
    network = Given(leaves)
    chosen.setup(network, context)
    for enhancer in enhancers:
        make_enhancer(*enhancer, recipe).setup(network, context)
    if state is not None:
        chosen.load_state({**chosen.state(), **state})
    parts: Mapping[str, Tensor] = {}
    result: Any
    if part == "loss":
        labels = needed(y, "y")
        result, parts = chosen.loss(network, network.x, network.x_adv, labels, context)
    else:
        result = _call(chosen, part, {**leaves, "y": y, "context": context})
    shown = {name: float(value) for name, value in parts.items()}
    outputs = result if isinstance(result, tuple) else (result,)
    scalar = len(outputs) == 1 and outputs[0].numel() == 1
    if scalar and outputs[0].requires_grad:
        outputs[0].backward()
    return LossResult(
        loss=float(outputs[0].detach()) if scalar else None,
        parts=shown,
        gradients={name: grad for name, leaf in leaves.items() if (grad := _gradient(leaf)) is not None},
        outputs=tuple(output.detach() for output in outputs),
        extras=dict(context.extras),
    )


def attack(
    name: str,
    *,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    params: Mapping[str, Any] | None = None,
    noise: Noise | None = None,
    threat: ThreatModel | None = None,
) -> AttackResult:
    """A registered attack on a copy of `model`: images, predictions on them, forward passes. Raises UsageError.

    `params`: as on the command line, radii stated at the reference radius 8/255. `noise` replaces all random draws.
    """
    draws = noise or CounterNoise(0, "evaluation", name, images=torch.arange(len(x), device=x.device), dtype=x.dtype)
    with attacked(name, model, x, params, threat) as (chosen, oracle):
        x_adv = chosen.run(oracle, x, y, draws).detach()
        forwards = oracle.forwards / len(x)
        return AttackResult(x_adv, oracle.logits(x_adv).argmax(1), forwards)


@contextmanager
def attacked(
    name: str,
    model: nn.Module,
    x: Tensor,
    params: Mapping[str, Any] | None = None,
    threat: ThreatModel | None = None,
) -> Iterator[tuple[Any, NetworkOracle]]:
    """(a registered attack, a copy of `model` as it sees it) for images like x."""
    cls = registry("attacks").get(name)
    network = copy.deepcopy(model)
    with torch.no_grad():
        classes = network.eval()(x[:1]).shape[1]
    chosen = cls(make(cls.Params, params or {}, name), threat or ThreatModel(), classes)
    with NetworkOracle(network, classes, folded=False) as oracle:
        yield chosen, oracle


def context_for(
    recipe: Any,
    counts: Sequence[int] | Tensor,
    like: Tensor,
    noise: Noise | None = None,
    epoch: int = 0,
    threat: ThreatModel | None = None,
) -> Context:
    """What a method is told in `epoch` of a training on tensors like `like`."""
    draws = noise or StreamNoise(torch_stream(0, "inner", epoch, device=like.device), like.dtype)
    return Context(
        class_counts=torch.as_tensor(counts, dtype=torch.int64, device=like.device),
        recipe=recipe,
        threat=threat or ThreatModel(),
        noise=draws,
        ascend=ascend,
        gradient=plain_gradient,
        epoch=epoch,
    )


def _call(method: Method, part: str, known: Mapping[str, Any]) -> Any:
    function = getattr(method, part, None)
    if part.startswith("_") or not callable(function):
        own = [n for n, f in vars(type(method)).items() if callable(f) and not n.startswith("_")]
        raise UsageError(f"{method.name} has no part '{part}'. {did_you_mean(part, own)}")
    names = inspect.signature(function).parameters
    return function(**{name: needed(known.get(name), name) for name in names})


def _leaf(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_leaf(item) for item in value]
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.detach().clone().requires_grad_(True)
    return value


def _tensors(leaves: Mapping[str, Any]) -> list[Tensor]:
    flat = [item for value in leaves.values() for item in (value if isinstance(value, list) else [value])]
    return [item for item in flat if isinstance(item, Tensor)]


def _gradient(leaf: Any) -> Any:
    if isinstance(leaf, list):
        found = [_gradient(item) for item in leaf]
        return found if any(item is not None for item in found) else None
    return leaf.grad if isinstance(leaf, Tensor) else None


def build_head(method: str, features: int, classes: int, hparams: Mapping[str, Any] | None = None) -> nn.Module:
    """The head a method asks for (a linear layer if none), initialised without touching the global generators."""
    chosen, _ = make_method(method, hparams, "paper")
    with isolated(0, "init"):
        return chosen.build_head(features, classes) or nn.Linear(features, classes)
