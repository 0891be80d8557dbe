"""Nothing inside an epoch waits for the device.

The contract counts what a step of each method adds on a CPU (`bench.testing.contract.waits`); here the counter itself,
what the loop does around the step, and on a GPU torch's own sync debug mode as the judge.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch

from bench.api import Context
from bench.engine import train
from bench.engine.images.augment import AUGMENTATIONS, augment
from bench.engine.nets.network import build_network
from bench.registry import registry
from bench.seeding import numpy_stream, torch_stream
from bench.testing.contract.waits import Counter, noise_data, tiny_cell


def test_the_counter_sees_what_waits():
    x = torch.arange(4.0)
    with Counter() as counter:
        float(x.sum())
        bool((x > 1).any())
        x[x > 1]
        torch.nonzero(x)
        x[torch.tensor([0, 1])]
    assert counter.found == ["_local_scalar_dense", "_local_scalar_dense", "index", "nonzero"]


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
    spec, _ = tiny_cell(registry("methods").get("at"), {})
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
@pytest.mark.parametrize("method", [m for m in registry("methods").names() if not registry("methods").get(m).waits])
def test_no_step_waits_on_a_gpu(method, monkeypatch):
    """From the first loss of the second epoch to its last: the first records and chooses kernels."""
    cls = registry("methods").get(method)
    spec, made = tiny_cell(cls, cls.small[0])
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
        train.train(spec, noise_data(32), network, made, device)
