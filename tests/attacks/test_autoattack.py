"""Our AutoAttack beside its authors' program, image by image, and on its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.attacks._apgd import dlr_targeted, margin_targeted
from bench.attacks._fab import project
from bench.attacks._square import side
from bench.config import AttackSpec, ThreatModel
from bench.engine.suite import build, evaluate
from bench.engine.verdicts.oracle import NetworkOracle
from bench.errors import UsageError
from bench.seeding import isolated, numpy_stream

Trained = Callable[..., tuple[nn.Module, torch.Tensor, torch.Tensor]]


def verdicts(net: nn.Module, x: torch.Tensor, y: torch.Tensor, spec: str, **kwargs: object) -> np.ndarray:
    classes = net(x[:1]).shape[1]
    options = {"threat": ThreatModel(0.15), "num_classes": classes, "root_seed": 0, "batch_size": 25, **kwargs}
    result = evaluate(net, x, y, torch.arange(len(x)), [AttackSpec.parse(spec)], **options)  # type: ignore[arg-type]
    return next(iter(result.attacks.values())).correct


@pytest.mark.parametrize(("kind", "classes"), [("conv", 4), ("dense", 10), ("dense", 7)])
def test_verdicts_equal_the_authors_whole_program(trained: Trained, kind: str, classes: int) -> None:
    from pyautoattack import AutoAttack

    net, x, y = trained(kind, classes)
    x, y = x[:30], y[:30]
    ours = verdicts(net, x, y, "aa[order=reference,queries=1000]", batch_size=20)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    with isolated(0, "reference"):
        program = AutoAttack(net, norm="Linf", eps=0.15, seed=0, version="standard", device="cpu")
        program.apgd_targeted.n_target_classes = program.fab.n_target_classes = min(9, classes - 1)
        program.square.n_queries = 1000  # the same draws as of 5000, cut off
        x_adv, _ = program.run_standard_evaluation(x, y, batch_size=20)
    with torch.no_grad():
        theirs = (net(x_adv).argmax(1) == y).numpy()
    assert 0.05 < theirs.mean() < 0.9
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("kind", "classes"), [("dense", 10), ("conv", 7), ("dense", 4), ("conv", 3), ("dense", 2)])
def test_every_part_equals_its_reference(trained: Trained, kind: str, classes: int) -> None:
    net, x, y = trained(kind, classes)
    x, y = x[:50], y[:50]
    threat = ThreatModel(0.12)
    pairs = [
        build(AttackSpec.parse(spec), threat, classes).stages()
        for spec in ("aa[order=reference,steps=30,queries=200]", "aa[engine=reference,steps=30,queries=200]")
    ]
    with NetworkOracle(net, classes, probe=x[:8]) as oracle:
        right = oracle.plain(x).argmax(1) == y
        x, y = x[right], y[right]
        for ours, theirs in zip(*pairs, strict=True):
            assert ours.name == theirs.name
            answers = [attack.run(oracle, x, y, None) for attack in (ours, theirs)]
            stands = [
                (oracle.plain(a).argmax(1) == y) | ((a - x).abs().flatten(1).amax(1) > 0.12 + 1e-6) for a in answers
            ]
            assert 0 < int((~stands[1]).sum()) < len(x)
            assert torch.equal(*stands), ours.name


@pytest.mark.parametrize("classes", [2, 3, 4, 7, 10, 43, 100])
def test_any_number_of_classes(classes: int) -> None:
    with isolated(classes, "net"):
        net = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, classes, bias=False)).eval()
        x = torch.rand(24, 3, 4, 4)
    with torch.no_grad():
        y = net(x).argmax(1)
    specs = [f"aa[steps=6,queries=30,{more}]" for more in ("order=reference", "engine=reference")]
    threat = ThreatModel(0.1)
    ours, theirs = (verdicts(net, x, y, spec, threat=threat) for spec in specs)
    np.testing.assert_array_equal(ours, theirs)
    assert not ours.all()
    attack = build(AttackSpec.parse("aa"), threat, classes)
    assert attack.stages()[1].params.targets == min(9, classes - 1)
    assert any("DLR" in note for note in attack.notes()) == (classes < 4)
    assert any("target class" in note for note in attack.notes()) == (classes < 10)
    chain = build(AttackSpec.parse("aa-10"), threat, classes)
    assert chain.stages()[1].params.targets == classes - 1
    assert "upper bound" in chain.notes()[0]
    verdicts(net, x, y, "aa-10[queries=30]", threat=threat)


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_nothing_depends_on_batch_order_or_company(data: st.DataObject) -> None:
    with isolated(1, "net"):
        net = (
            nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5))
            .double()
            .eval()
        )
        x = torch.rand(12, 1, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        y = net(x).argmax(1)
    y[:2] = (y[:2] + 1) % 5
    names = torch.arange(100, 112)
    specs = [AttackSpec.parse(a) for a in ("aa[queries=40,steps=8]", "aa-10[queries=5,steps=2]", "pgd-20[steps=5]",
                                           "cw-l2[steps=20]", "cw-linf[steps=5]", "fgsm[start=gaussian]")]  # fmt: skip
    options = {"threat": ThreatModel(0.04), "num_classes": 5, "root_seed": 7}
    whole = evaluate(net, x, y, names, specs, batch_size=12, **options)  # type: ignore[arg-type]
    chosen = data.draw(st.permutations(range(12)))[: data.draw(st.integers(1, 12))]
    size = data.draw(st.integers(1, 12))
    part = evaluate(
        net, x[chosen], y[chosen], names[chosen], data.draw(st.permutations(specs)), batch_size=size, **options
    )  # type: ignore[arg-type]
    for label, result in part.attacks.items():
        np.testing.assert_array_equal(result.correct, whole.attacks[label].correct[chosen], err_msg=label)
    assert 0 < whole.attacks["aa[queries=40,steps=8]"].correct.sum() < 10


def test_aa_plus_contains_aa(trained: Trained) -> None:
    net, x, y = trained("dense")
    aa, plus = (verdicts(net, x[:40], y[:40], f"{name}[steps=20,queries=100]") for name in ("aa", "aa-plus"))
    assert not (plus & ~aa).any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), far=st.floats(0.0, 3.0), size=st.integers(1, 12))
def test_projection_is_the_nearest_point_of_box_and_plane(seed: int, far: float, size: int) -> None:
    rng = numpy_stream(seed, "projection")
    point, w = rng.random((1, size)), rng.normal(size=(1, size)) * (rng.random((1, size)) > 0.2)
    b = (w * point).sum(1) + far * rng.choice([-1, 1]) * np.abs(w).sum(1)
    d = project(*(torch.tensor(v) for v in (point, w, b))).numpy()
    assert ((point + d >= -1e-12) & (point + d <= 1 + 1e-12)).all()
    gap = lambda length: (w * point).sum() + (w * _towards(point, w, b, length)).sum() - b[0]  # noqa: E731
    reachable = np.sign(gap(1.0)) != np.sign(gap(0.0))
    if reachable:
        assert abs((w * (point + d)).sum() - b[0]) < 1e-9
        low, high = 0.0, 1.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if np.sign(gap(middle)) == np.sign(gap(0.0)) else (low, middle)
        assert np.abs(d).max() == pytest.approx(high, abs=1e-9)
    elif far > 0:
        np.testing.assert_allclose(d, _towards(point, w, b, 1.0), atol=1e-12)


def _towards(point: np.ndarray, w: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    sign = np.sign(w) * np.sign(b - (w * point).sum())
    return np.clip(point + length * sign, 0, 1) - point


def test_targeted_losses() -> None:
    z = torch.tensor([[4.0, 1.0, 3.0, -2.0, 0.0]])
    y, target = torch.tensor([0]), torch.tensor([2])
    assert float(margin_targeted(z, y, target)) == -1.0
    assert float(dlr_targeted(z, y, target)) == pytest.approx(-1.0 / (4.0 - 0.5 * (1.0 + 0.0)))


def test_square_sides_follow_the_schedule() -> None:
    assert [side(q, 32, 32, 5000, False) for q in (0, 10, 11, 51, 201, 501, 1001, 2001, 4001, 4999)] == [
        29, 29, 20, 14, 10, 7, 5, 4, 3, 3,
    ]  # fmt: skip
    assert side(6, 32, 32, 5000, True) == 20
    assert side(0, 4, 2, 5000, False) == 2


@pytest.mark.parametrize(
    "spec",
    [
        "aa[steps=0]",
        "aa[queries=0]",
        "aa[eps=0]",
        "aa[eps=-1/255]",
        "aa[engine=other]",
        "aa[order=x]",
        "aa[what=1]",
        "aa[seed=-1]",
        "aa-10[engine=reference]",
    ],
)
def test_bad_parameters_are_one_sentence(spec: str) -> None:
    with pytest.raises(UsageError) as error:
        build(AttackSpec.parse(spec), ThreatModel(), 10)
    assert "\n" not in str(error.value)
