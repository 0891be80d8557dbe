"""Our attacks beside torchattacks 3.5.1, image by image on its own random draws (`tox -e check`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.config import AttackSpec, ThreatModel
from bench.engine.suite import build, evaluate
from bench.engine.verdicts.oracle import NetworkOracle
from bench.seeding import isolated

torchattacks = pytest.importorskip("torchattacks", reason="torchattacks has its own environment: tox -e check")
pytestmark = pytest.mark.torchattacks
EPS = 0.1
SCALE = EPS / (8 / 255)
Trained = Callable[..., tuple[nn.Module, Tensor, Tensor]]


class Drawn:
    """The draws of the package's generator, in the order of the calls."""

    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        self.draw = draw

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        with isolated(11, "torchattacks"):
            return torch.empty(tuple(shape)).uniform_(low, high)


def compare(net: nn.Module, x: Tensor, y: Tensor, spec: str, make: Callable[[nn.Module], object]) -> None:
    ours = build(AttackSpec.parse(spec), ThreatModel(EPS), 10)
    with NetworkOracle(net, 10, folded=False) as oracle:
        answer = ours.run(oracle, x, y, Drawn(lambda t: t))
        with isolated(11, "torchattacks"):
            theirs = make(net)(x, y)  # type: ignore[operator]
        torch.testing.assert_close(answer, theirs, rtol=0, atol=2e-4 if "cw" in spec else 1e-6)
        assert torch.equal(oracle.plain(answer).argmax(1), oracle.plain(theirs).argmax(1))
        assert not torch.equal(oracle.plain(answer).argmax(1), oracle.plain(x).argmax(1))


@pytest.mark.parametrize("kind", ["conv", "dense"])
@pytest.mark.parametrize(
    ("spec", "make"),
    [
        ("fgsm", lambda net: torchattacks.FGSM(net, eps=EPS)),
        ("pgd-20", lambda net: torchattacks.PGD(net, eps=EPS, alpha=SCALE / 255, steps=20)),
        ("pgd-100", lambda net: torchattacks.PGD(net, eps=EPS, alpha=SCALE / 255, steps=100)),
        ("cw-l2[stop=batch]", lambda net: torchattacks.CW(net, c=10, kappa=0, steps=100, lr=0.01)),
    ],
)
def test_images_are_equal(trained: Trained, kind: str, spec: str, make: Callable[[nn.Module], object]) -> None:
    net, x, y = trained(kind)
    compare(net, x[:64], y[:64], spec, make)


@pytest.mark.parametrize(("kind", "classes"), [("conv", 10), ("dense", 7)])
def test_aa_10_is_its_autoattack(trained: Trained, kind: str, classes: int) -> None:
    net, x, y = trained(kind, classes)
    x, y = x[:60], y[:60]
    spec = AttackSpec.parse("aa-10[order=reference,queries=1000]")
    ours = evaluate(
        net,
        x,
        y,
        torch.arange(60),
        [spec],
        threat=ThreatModel(EPS),
        num_classes=classes,
        root_seed=0,
        batch_size=60,
        fold=False,
    )
    with isolated(0, "torchattacks"):
        chain = torchattacks.AutoAttack(net, norm="Linf", eps=EPS, version="standard", n_classes=classes, seed=0)
        chain._autoattack.attacks[-1].n_queries = 1000
        answer = chain(x, y)
    with torch.no_grad():
        theirs = (net(answer).argmax(1) == y).numpy()
    assert 0.1 < theirs.mean() < 0.9
    np.testing.assert_array_equal(ours.attacks[spec.label].correct, theirs)
