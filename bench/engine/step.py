"""One step of a training: the attack, the loss and its gradient, the optimiser's step, and what enhancers do around."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, Phase, Step
from bench.engine.learner import Learner
from bench.engine.optimizer import clip
from bench.errors import TrainingError
from bench.seeding import isolated

Autocast = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Taken:
    """A loss whose gradient lies in the parameters. `x_adv` is x itself in a natural phase."""

    x_adv: Tensor
    loss: Tensor
    logs: dict[str, Tensor]


def attack(
    learner: Learner, x: Tensor, y: Tensor, context: Context, phase: Phase, autocast: Autocast = nullcontext
) -> Tensor:
    """The images on which the loss is taken: x itself in a natural phase."""
    context.labels = y
    if phase == "natural":
        return x
    with autocast():
        x_adv = learner.method.perturb(learner.network, x, y, context)
    for enhancer in learner.enhancers:
        enhancer.attacked(x, x_adv, context)
    return x_adv


def gradient(
    learner: Learner,
    x: Tensor,
    y: Tensor,
    context: Context,
    phase: Phase,
    autocast: Autocast = nullcontext,
    x_adv: Tensor | None = None,
) -> Taken:
    """Loss and gradient of one batch, attacked unless x_adv is given; weights may have been moved, until `finish`."""
    model, method, enhancers = learner.network, learner.method, learner.enhancers
    if x_adv is None:
        x_adv = attack(learner, x, y, context, phase, autocast)

    def again() -> Tensor:
        memory, extras = copy.deepcopy(method.state()), dict(context.extras)
        with autocast():
            loss, _ = method.loss(model, x, x_adv, y, context)
        if memory:
            method.load_state(memory)
        context.extras = extras
        return loss

    for enhancer in enhancers:
        enhancer.before_gradient(Step(model, learner.optimizer, again, context))
    weights = [w for e in enhancers if (w := e.image_weights(y, context)) is not None]
    with autocast(), _weighted(model, weights), _watched(model, x_adv, enhancers, context) as seen:
        loss, logs = method.loss(model, x, x_adv, y, context)
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for enhancer in enhancers:
        enhancer.after_loss(model, x, x_adv, seen[0] if seen else None, context)
    return Taken(x_adv, loss, logs)


def finish(learner: Learner, context: Context) -> None:
    """The optimiser's step, after which weights that were moved are put back and averages follow."""
    learner.optimizer.step()
    learner.optimizer.zero_grad(set_to_none=True)  # the next attack need not carry them
    for enhancer in learner.enhancers:
        enhancer.after_step(learner.network, context)


def takes_one(model: nn.Module, image: Tensor) -> bool:
    """Whether a network can be trained on a batch of one image; a copy is asked on `image` (1 x channels x H x W).

    Batch norm takes no variance of one value; where its feature maps are larger than a pixel it has more.
    """
    try:
        with isolated(0, "probe", cuda=image.is_cuda), torch.no_grad():
            copy.deepcopy(model).train()(image)
    except ValueError as error:
        return "more than 1 value per channel" not in str(error)
    except Exception:  # the training itself says it better
        return True
    return True


@dataclass
class Batch:
    """One batch as a method's `step` drives it (`bench.api.Turn`). `taken`: the last gradient; `largest`: its norm."""

    learner: Learner
    x: Tensor
    y: Tensor
    context: Context
    phase: Phase
    autocast: Autocast
    largest: float
    taken: Taken | None = None
    model: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.learner.network

    def attack(self) -> Tensor:
        """See `bench.api.Turn`."""
        return attack(self.learner, self.x, self.y, self.context, self.phase, self.autocast)

    def gradient(self, x_adv: Tensor | None = None) -> Tensor:
        """See `bench.api.Turn`."""
        self.taken = gradient(self.learner, self.x, self.y, self.context, self.phase, self.autocast, x_adv)
        return self.taken.loss.detach()

    def update(self) -> None:
        """See `bench.api.Turn`."""
        clip(self.model, self.largest)
        finish(self.learner, self.context)

    def run(self) -> Taken:
        """The method's step; its last loss. Raises TrainingError when it took none."""
        self.learner.method.step(self)
        if self.taken is None:
            raise TrainingError(f"step() of {self.learner.method.name} takes no gradient; call turn.gradient() in it.")
        return self.taken


Clean = Callable[[], Iterable[Tensor]]


def own_values(learner: Learner, clean: Clean) -> dict[str, Tensor]:
    """Parameters and buffers by name that evaluations see in place of the network's own; empty for most."""
    found: dict[str, Tensor] = {}
    for part in learner.parts:
        found |= part.evaluated(learner.network, clean) or {}
    return found


@torch.no_grad()
def become(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Overwrite parameters and buffers, in place."""
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in values.items():
        own[name].copy_(value)


@contextmanager
def evaluated(learner: Learner, clean: Clean) -> Iterator[None]:
    """Inside the block the network is the one that evaluations see."""
    model, values = learner.network, own_values(learner, clean)
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    kept = {name: own[name].detach().clone() for name in values}
    become(model, values)
    try:
        yield
    finally:
        become(model, kept)


@contextmanager
def _watched(
    model: nn.Module, x_adv: Tensor, enhancers: Sequence[Enhancer], context: Context
) -> Iterator[list[Tensor]]:
    """The train-mode logits of x_adv, as they come, where an enhancer wants to see them."""
    seen: list[Tensor] = []
    if all(type(enhancer).after_loss is Enhancer.after_loss for enhancer in enhancers):
        yield seen
        return

    def note(x: Tensor, logits: Tensor) -> None:
        if x is x_adv and model.training:
            seen.append(logits.detach())

    handle = model.register_forward_hook(lambda _module, inputs, output: note(inputs[0], output))
    context.watch = note
    try:
        yield seen
    finally:
        context.watch = None
        handle.remove()


@contextmanager
def _weighted(model: nn.Module, weights: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block the gradient that comes back to an image's logits is multiplied by its weights.

    Of a loss that is a mean over images of functions of their logits, that is the gradient of the weighted mean.
    """
    if not weights:
        yield
        return
    factor = torch.stack(list(weights)).prod(0)

    def scale(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda slope: slope * factor.to(slope)[:, None])  # type: ignore[no-untyped-call]

    handle = model.head.register_forward_hook(scale)  # type: ignore[union-attr]
    try:
        yield
    finally:
        handle.remove()
