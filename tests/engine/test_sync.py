"""Nothing inside an epoch waits for the device.

On a CPU every operation that would make a GPU's host wait is counted as it is dispatched; a step must not add one. On
a GPU torch's own sync debug mode is the judge.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.api import Context
from bench.config import CellSpec, Recipe, make
from bench.engine import train
from bench.engine.images.augment import AUGMENTATIONS, augment
from bench.engine.images.subset import CellData
from bench.engine.nets.network import build_network
from bench.registry import registry
from bench.seeding import numpy_stream, torch_stream

#: reading a value, or making a result whose shape depends on values
WAITS = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique_dim", "_unique2", "bincount", "equal",
         "multinomial"}  # fmt: skip
#: method -> why it may wait, and how often
DECLARED = {"las-at": "the reward's attack stops when no image is classified correctly, as published: every 20th step"}


class Counter(TorchDispatchMode):
    """Counts operations at which the host of a GPU would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = [t for t in (args[1] if name in ("index", "index_put", "index_put_") else []) if t is not None]
        if name in WAITS or any(t.dtype in (torch.bool, torch.uint8) for t in masks):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def test_the_counter_sees_what_waits():
    x = torch.arange(4.0)
    with Counter() as counter:
        float(x.sum())
        bool((x > 1).any())
        x[x > 1]
        torch.nonzero(x)
        x[torch.tensor([0, 1])]
    assert counter.found == ["_local_scalar_dense", "_local_scalar_dense", "index", "nonzero"]


def data(n: int) -> CellData:
    """A labelled set of noise."""
    x = (torch.rand(n, 8, 8, 1, generator=torch_stream(0, "x")) * 255).to(torch.uint8)
    y, index = torch.arange(n) % 4, torch.arange(n)
    counts = tuple(int(c) for c in y.bincount(minlength=4))
    return CellData(x, y, index, x, y, {"long-tailed": index}, tuple("abcd"), (0, 1, 2, 3), counts,
                    {"long-tailed": counts}, "noise", "0", "0")  # fmt: skip


def setting(method: str, epochs: int = 1) -> tuple[CellSpec, object]:
    """(cell, method object) of two attack steps on tiny batches."""
    cls = registry("methods").get(method)
    recipe = Recipe(epochs=epochs, full_epochs=epochs, batch_size=8, steps=2, augment="none", lr=1e-3)
    spec = CellSpec(method, "noise", 10.0, "small-cnn", 0, recipe=recipe)
    return spec, cls(make(cls.Hparams, small(cls), method))


def small(cls) -> dict[str, object]:
    """Settings that keep side networks and searches tiny, where a method has them."""
    wanted = {"strategy_width": 4, "generator_width": 4, "inner_steps": 1, "samples": 1, "begin": 1, "ce_epochs": 0,
              "every": 1}  # fmt: skip
    return {k: v for k, v in wanted.items() if k in cls.Hparams.__dataclass_fields__}


def waits(method: str, images: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Operations of one epoch at which a host would wait, without the check that a CPU affords after every step."""
    spec, made = setting(method)
    network = build_network("small-cnn", (1, 8, 8), 4, made.build_head, 0)
    monkeypatch.setattr(train, "_check", lambda *_: None)
    with Counter() as counter:
        train.train(spec, data(images), network, made, torch.device("cpu"))
    return counter.found


@pytest.mark.parametrize("method", registry("methods").names())
def test_a_step_adds_no_wait(method, monkeypatch):
    short, long = (waits(method, images, monkeypatch) for images in (8, 32))
    if method in DECLARED:
        assert len(long) > len(short), f"{method} no longer waits; take it off the list."
        return
    assert sorted(long) == sorted(short), f"{method} waits for the device in every step"


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_augmentation_waits_for_nothing(kind):
    images = (torch.rand(8, 16, 16, 3, generator=torch_stream(0, "x")) * 255).to(torch.uint8)
    rng = numpy_stream(0, "augment")
    augment(images, kind, rng)
    with Counter() as counter:
        augment(images, kind, rng)
    assert counter.found == []


def test_the_check_of_losses_reads_once_an_epoch_where_reading_waits():
    """On a GPU only the end of the epoch looks at the losses (`_check` above is what a CPU adds)."""
    spec, _ = setting("at")
    with Counter() as counter:
        train._check(torch.ones(3, dtype=torch.float64), spec, 0)
    assert 1 <= len(counter.found) <= 2


@contextlib.contextmanager
def forbidden() -> Iterator[None]:
    """Any wait inside is an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", [m for m in registry("methods").names() if m not in DECLARED])
def test_no_step_waits_on_a_gpu(method, monkeypatch):
    """From the first loss of the second epoch to its last: the first records and chooses kernels."""
    spec, made = setting(method, epochs=2)
    device = torch.device("cuda")
    network = build_network("small-cnn", (1, 8, 8), 4, made.build_head, 0)
    real_loss, real_check = made.loss, train._check
    stack = contextlib.ExitStack()

    def loss(model, x, x_adv, y, context: Context):
        if context.epoch == 1 and context.step == 4:
            stack.enter_context(forbidden())
        return real_loss(model, x, x_adv, y, context)

    def check(*args: object) -> None:
        stack.close()
        real_check(*args)

    monkeypatch.setattr(made, "loss", loss)
    monkeypatch.setattr(train, "_check", check)
    with stack:
        train.train(spec, data(32), network, made, device)
