"""THE training loop. Every method runs through it and differs only by its hooks.

Data stay on the device as uint8; order, augmentation and inner-attack noise come from streams named by epoch, so a
resumed run needs no generator state and repeats the same numbers. Nothing inside an epoch waits for the device: losses
are kept there and looked at when the epoch ends (on a CPU, where looking is free, after every step).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Context, Enhancer, Method
from bench.config import CellSpec
from bench.engine.best import Best
from bench.engine.gradients.fast import make_inner
from bench.engine.host import stop
from bench.engine.host.memory import peak_memory
from bench.engine.images.augment import augment
from bench.engine.images.subset import CellData
from bench.engine.learner import Learner, Progress
from bench.engine.optimizer import make_optimizer, set_factors, set_rate, thaw
from bench.engine.resume.checkpoint import Keeper
from bench.engine.resume.prefix import Prefix
from bench.engine.step import Batch, become, evaluated, own_values, takes_one
from bench.errors import TrainingError
from bench.plugins import phase_of
from bench.seeding import StreamNoise, numpy_stream, torch_stream

#: seconds between checkpoints; one is always written after the last epoch
CHECKPOINT_SECONDS = 60.0

#: called after each epoch with the epoch's row of epochs.csv
OnEpoch = Callable[[dict[str, Any]], None]
#: called after each epoch: columns of a tracked evaluation
Track = Callable[[nn.Module], dict[str, Any]]


def train(
    spec: CellSpec,
    data: CellData,
    network: nn.Module,
    method: Method,
    device: torch.device,
    *,
    enhancers: Sequence[Enhancer] = (),
    networks: Mapping[str, nn.Module] | None = None,
    start: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
    prefix: Prefix | None = None,
    track: Track | None = None,
    best: Best | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Progress:
    """Train `network` in place from `start`, a checkpoint's state (or from the beginning), to the recipe's last epoch.

    `data`: uint8 images (N x H x W x channels) and labels of the cell. `networks`: those that the method is handed, by
    role (`Method.cells`), which are frozen here. `checkpoint`: where states are kept. `best`: the judge of
    `select=best`, whose epoch's weights the network ends with. Returns what happened. Raises TrainingError
    when a loss is NaN or infinite, with epoch, step, method and the last good loss; the last checkpoint stays.
    """
    recipe, dtype = spec.recipe, dtype_of(spec)
    network.to(device=device, dtype=dtype).to(memory_format=layout(device))
    images, labels = data.train_images.to(device), data.train_labels.to(device)
    context = make_context(spec, data, network, device, networks)
    optimizer = make_optimizer(network, recipe, device, method)
    network.train()
    some = augment(images[:1], recipe.augment, numpy_stream(0, "probe"), resize=recipe.resize, dtype=dtype)
    single = takes_one(network, some)
    if not single and min(len(labels), recipe.batch_size) == 1:
        raise TrainingError(
            f"batch norm of '{spec.model}' cannot be trained on batches of one image ({len(labels)} images, batch "
            f"{recipe.batch_size}); take a larger batch, more images, or another network."
        )
    method.setup(network, context)
    for enhancer in enhancers:
        enhancer.setup(network, context)
    context.changes = tuple(enhancer.inner for enhancer in enhancers)
    learner = Learner(network, method, enhancers, optimizer, best)
    at = Progress()
    if start is not None:
        at = learner.restore(start)
    elif prefix is not None and (stored := prefix.load(device)) is not None:
        at = learner.restore(stored)

    def clean() -> Iterator[Tensor]:
        shake = numpy_stream(spec.seed, "augment", "statistics", at.epoch)
        for first in range(0, len(labels), recipe.batch_size):
            x = augment(
                images[first : first + recipe.batch_size], recipe.augment, shake, resize=recipe.resize, dtype=dtype
            )
            yield x.contiguous(memory_format=layout(device))

    with precision(spec, device) as autocast, Keeper(checkpoint, checkpoint_seconds) as keeper:
        if start is None and at.epoch == recipe.epochs:  # all of it was a stored prefix
            keeper.offer(partial(learner.state, at), True)
        for epoch in range(at.epoch, recipe.epochs):
            row = _epoch(spec, epoch, at, learner, context, data, (images, labels), autocast, single)
            if track is not None or best is not None:
                with evaluated(learner, clean):
                    row |= track(network) if track is not None else {}
                    row |= best.look(network, epoch) if best is not None else {}
                network.train()
            at.curves.append(row)
            if at.epoch == recipe.epochs:
                become(network, best.values if best is not None else own_values(learner, clean))
            if prefix is not None and at.epoch == prefix.epochs:
                prefix.save(learner.state(at))
            keeper.offer(partial(learner.state, at), at.epoch == recipe.epochs)
            if on_epoch is not None:
                on_epoch(row)
    thaw(optimizer)
    return at


def make_context(
    spec: CellSpec,
    data: CellData,
    network: nn.Module,
    device: torch.device,
    networks: Mapping[str, nn.Module] | None = None,
) -> Context:
    """What the method of a cell is told before its first epoch."""
    dtype = next(network.parameters()).dtype
    inner = make_inner(spec, device, network)
    known = {role: each.to(device, dtype).eval().requires_grad_(False) for role, each in (networks or {}).items()}
    return Context(
        class_counts=torch.tensor(data.train_counts, device=device),
        recipe=spec.recipe,
        threat=spec.threat,
        ascend=inner.ascend,
        gradient=inner.gradient,
        networks=known,
        noise=StreamNoise(torch_stream(0, device=device), dtype),
    )


def extra_draws(spec: CellSpec, data: CellData, epoch: int, device: torch.device, dtype: torch.dtype) -> Any:
    """`Context.extra` of an epoch: draws with replacement, augmented like the training images; None without any."""
    if data.extra_images is None or data.extra_labels is None:
        return None
    images, labels = data.extra_images.to(device), data.extra_labels.to(device)
    chance, shake = torch_stream(spec.seed, "extra", epoch), numpy_stream(spec.seed, "augment", "extra", epoch)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(labels), (count,), generator=chance).to(device)
        x = augment(images[chosen], spec.recipe.augment, shake, resize=spec.recipe.resize, dtype=dtype)
        return x.contiguous(memory_format=layout(device)), labels[chosen]

    return draw


def _epoch(
    spec: CellSpec,
    epoch: int,
    at: Progress,
    learner: Learner,
    context: Context,
    data: CellData,
    resident: tuple[Tensor, Tensor],
    autocast: Any,
    single: bool,
) -> dict[str, Any]:
    """One pass over the data; moves `at` forward and returns the epoch's row. `single`: a batch may be of one image."""
    started, recipe, device = time.perf_counter(), spec.recipe, context.device
    network, method, enhancers, optimizer = learner.network, learner.method, learner.enhancers, learner.optimizer
    images, labels = resident
    dtype = next(network.parameters()).dtype
    context.epoch, context.lr = epoch, recipe.lr_at(epoch)
    phase = phase_of(method, context)
    set_factors(optimizer, method, context)
    order, draws = epoch_order(spec.seed, epoch, labels, learner.parts, context)
    context.extra = extra_draws(spec, data, epoch, device, dtype)
    shake = numpy_stream(spec.seed, "augment", epoch)
    context.noise = StreamNoise(torch_stream(spec.seed, "inner", epoch, device=device), dtype)
    size, count = recipe.batch_size, len(order)
    drop = (recipe.drop_last and count >= size) or (count % size == 1 and not single)
    steps = count // size if drop else math.ceil(count / size)
    context.steps_per_epoch = steps
    losses = torch.zeros(steps, device=device, dtype=torch.float64)
    logs: dict[str, Tensor] = {}
    for step in range(steps):
        chosen = order[step * size : (step + 1) * size]
        for enhancer in enhancers:
            chosen = enhancer.draw(chosen, draws)
        x = augment(images[chosen], recipe.augment, shake, resize=recipe.resize, dtype=dtype)
        x = x.contiguous(memory_format=layout(device))
        y = labels[chosen]
        context.step, context.batch, context.index = at.step, step, chosen
        for enhancer in enhancers:
            x, y = enhancer.mix(x, y, context, draws)
        context.lr, momentum = recipe.rate(epoch, step, steps)
        set_rate(optimizer, context.lr, momentum)
        batch = Batch(learner, x, y, context, phase, autocast, recipe.clip)
        taken = batch.run()
        losses[step] = taken.loss.detach()
        for name, value in taken.logs.items():
            logs[name] = logs.get(name, torch.zeros((), device=device)) + value.detach()
        at.step += 1
        stop.check()
        if device.type == "cpu":
            _check(losses[: step + 1], spec, epoch)
    _check(losses, spec, epoch)
    method.on_epoch_end(context)
    for enhancer in enhancers:
        enhancer.after_epoch(network, context)
    at.epoch, at.images = epoch + 1, at.images + min(count, steps * size)
    seconds = time.perf_counter() - started
    at.seconds += seconds
    return {
        "epoch": epoch,
        "phase": phase,
        "lr": context.lr,
        "loss": float(losses.mean()),
        "seconds": round(seconds, 4),
        "images": min(count, steps * size),
        "peak_memory_mib": peak_memory(device),
        **{f"log:{name}": float(value) / steps for name, value in sorted(logs.items())},
    }


def epoch_order(
    seed: int, epoch: int, labels: Tensor, ordering: Sequence[Method | Enhancer], context: Context
) -> tuple[Tensor, torch.Generator]:
    """(indices of the epoch's images in order, the generator of later draws from them)."""
    generator = torch_stream(seed, "sampler", epoch)
    orders = [each.order(labels, context, generator) for each in ordering]
    own = next((order for order in orders if order is not None), None)
    if own is None:
        own = torch.randperm(len(labels), generator=torch_stream(seed, "order", epoch))
    return own.to(labels.device), generator


def _check(losses: Tensor, spec: CellSpec, epoch: int) -> None:
    """Stop at the first loss that is not finite."""
    if bool(torch.isfinite(losses[-1])) and bool(torch.isfinite(losses).all()):
        return
    bad = int((~torch.isfinite(losses)).nonzero()[0])
    last = f"{float(losses[bad - 1]):.6g}" if bad else "none in this epoch"
    raise TrainingError(
        f"the loss of {spec.method} became {float(losses[bad])} at epoch {epoch}, step {bad} (last good loss: {last}); "
        "the last checkpoint is kept; lower the learning rate or use --precision fp32."
    )


def dtype_of(spec: CellSpec) -> torch.dtype:
    """The type of a cell's weights and images."""
    return torch.float64 if spec.precision == "fp64" else torch.float32


def plain(spec: CellSpec) -> CellSpec:
    """The cell in the arithmetic of attacks, verdicts and features: no TF32 or bf16, whatever its training used."""
    return spec if spec.precision == "fp64" else dataclasses.replace(spec, precision="fp32")


@contextmanager
def precision(spec: CellSpec, device: torch.device) -> Iterator[Callable[[], Any]]:
    """The arithmetic of a cell: inside it TF32 is as declared; yields the factory of the autocast block."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    old = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    matmul.allow_tf32 = cudnn.allow_tf32 = spec.precision in ("tf32", "bf16")
    cudnn.benchmark = not spec.deterministic  # batches keep their shape, so the search for the best kernel pays
    torch.use_deterministic_algorithms(spec.deterministic)
    try:
        if spec.precision == "bf16":
            yield lambda: torch.autocast(device.type, dtype=torch.bfloat16)
        else:
            yield nullcontext
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = old[:3]
        torch.use_deterministic_algorithms(old[3])


def layout(device: torch.device) -> torch.memory_format:
    """Memory layout of images and weights: channels last on a GPU; on a CPU the outer passes are no faster for it."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format
