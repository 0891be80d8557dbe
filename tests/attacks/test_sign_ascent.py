"""Known answers on linear models, parameters, and what cw-l2's early stop depends on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bench.config import REFERENCE_EPS, AttackSpec, ThreatModel
from bench.engine.suite import build, evaluate
from bench.engine.verdicts.budget import radius
from bench.engine.verdicts.oracle import NetworkOracle
from bench.errors import UsageError
from bench.registry import registry
from bench.seeding import isolated

LINF = ["fgsm", "pgd-20", "pgd-100", "cw-linf", "lsa", "mim", "aa[steps=30,queries=300]", "aa-10[queries=300]",
        "aa-plus[steps=30,queries=300]"]  # fmt: skip


def linear(classes: int, scale: float = 1.0) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    with isolated(classes, "linear"):
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, classes)).double()
        x = torch.rand(60, 3, 2, 2, dtype=torch.float64)
        with torch.no_grad():
            net[1].weight.mul_(scale)
            net[1].bias.sub_(net(x).mean(0))
            y = net(x).argmax(1)
    return net, x, y


def exact(net: nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float) -> np.ndarray:
    """Which images no point of ball and box can fool: the least margin of a linear model is a corner's."""
    weight, bias = net[1].weight.detach(), net[1].bias.detach()
    low, high = (x - eps).clamp(0, 1).flatten(1), (x + eps).clamp(0, 1).flatten(1)
    stands = torch.ones(len(x), dtype=torch.bool)
    for k in range(len(weight)):
        slope = weight[y] - weight[k]
        least = torch.where(slope > 0, slope * low, slope * high).sum(1) + bias[y] - bias[k]
        stands &= (least > 0) | (y == k)
    return stands.numpy()


def test_every_linf_attack_finds_the_exact_answer_on_a_linear_model() -> None:
    net, x, y = linear(2)
    truth = exact(net, x, y, 0.04)
    assert 15 < truth.sum() < 45
    result = evaluate(
        net,
        x,
        y,
        torch.arange(60),
        [AttackSpec.parse(s) for s in LINF],
        threat=ThreatModel(0.04),
        num_classes=2,
        root_seed=0,
    )
    for label, attack in result.attacks.items():
        np.testing.assert_array_equal(attack.correct, truth, err_msg=label)


def test_targeted_attacks_are_exact_for_many_classes() -> None:
    net, x, y = linear(6)
    truth = exact(net, x, y, 0.03)
    assert 10 < truth.sum() < 50
    result = evaluate(
        net,
        x,
        y,
        torch.arange(60),
        [AttackSpec.parse("aa[queries=200]"), AttackSpec.parse("fgsm")],
        threat=ThreatModel(0.03),
        num_classes=6,
        root_seed=0,
    )
    np.testing.assert_array_equal(result.attacks["aa[queries=200]"].correct, truth)
    assert (result.attacks["fgsm"].correct >= truth).all()


@pytest.mark.parametrize("name", registry("attacks").names())
def test_radius_and_step_scale_with_the_threat_model(name: str) -> None:
    attack = build(AttackSpec(name), ThreatModel(2 * REFERENCE_EPS), 3)
    reach = radius(attack)
    if reach is None:
        return
    assert reach == 2 * REFERENCE_EPS
    assert build(AttackSpec(name), ThreatModel(), 3).threat.scale == 1.0


def test_pgd_moves_at_most_steps_times_step() -> None:
    net, x, y = linear(3)
    attack = build(AttackSpec.parse("pgd-20[steps=3,step=1/255,start=image]"), ThreatModel(4 / 255), 3)
    with NetworkOracle(net, 3) as oracle:
        moved = (attack.run(oracle, x, y, None) - x).abs().amax()
    assert float(moved) == pytest.approx(1.5 / 255)


@pytest.mark.parametrize(
    "spec",
    [
        "fgsm[eps=0]",
        "fgsm[eps=-8/255]",
        "fgsm[eps=2]",
        "pgd-20[steps=0]",
        "pgd-20[steps=-3]",
        "pgd-20[step=0]",
        "pgd-20[steps=2.5]",
        "pgd-20[start=somewhere]",
        "pgd-20[alpha=1/255]",
        "cw-l2[c=0]",
        "cw-l2[eps=8/255]",
        "cw-l2[lr=-1]",
        "cw-linf[kappa=-1]",
        "pgd-21",
        "lsa[scale=0]",
        "pgd-20[eps=none]",
        "clean[eps=1/255]",
    ],
)
def test_bad_parameters_are_one_sentence(spec: str) -> None:
    with pytest.raises(UsageError) as error:
        build(AttackSpec.parse(spec), ThreatModel(), 10)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("eps", [0.0, -0.1, 1.5, float("nan")])
def test_bad_radius_is_one_sentence(eps: float) -> None:
    with pytest.raises(UsageError, match="eps"):
        build(AttackSpec("fgsm"), ThreatModel(eps), 10)


def test_cw_l2_stops_by_image_or_by_batch() -> None:
    net, x, y = linear(4, scale=30.0)
    one, batch = (build(AttackSpec.parse(f"cw-l2[stop={who}]"), ThreatModel(), 4) for who in ("image", "batch"))
    with NetworkOracle(net, 4) as oracle:
        together, alone = one.run(oracle, x, y, None), [one.run(oracle, x[[i]], y[[i]], None) for i in range(12)]
        by_batch = [batch.run(oracle, x[[i]], y[[i]], None) for i in range(12)]
        summed = batch.run(oracle, x, y, None)
    torch.testing.assert_close(together[:12], torch.cat(alone))
    torch.testing.assert_close(together[:12], torch.cat(by_batch))
    assert not torch.allclose(together, summed)


def test_cw_l2_measures_the_scale_of_the_logits() -> None:
    broken = []
    for scale in (1.0, 1e-5):
        net, x, y = linear(4, scale=20 * scale)
        result = evaluate(
            net,
            x,
            y,
            torch.arange(60),
            [AttackSpec("cw-l2"), AttackSpec("cw-linf")],
            threat=ThreatModel(0.03),
            num_classes=4,
            root_seed=0,
        )
        broken.append([int((~a.correct).sum()) for a in result.attacks.values()])
    assert broken[0][0] > broken[1][0] + 20
    assert broken[0][1] == broken[1][1]


def test_pixels_at_the_border_never_move_in_cw_l2() -> None:
    net, x, y = linear(3, scale=30.0)
    x[:, 0] = 0.0
    x[:, 1, 0] = 1.0
    with NetworkOracle(net, 3) as oracle:
        moved = build(AttackSpec("cw-l2"), ThreatModel(), 3).run(oracle, x, y, None)
    assert torch.isfinite(moved).all()
    assert torch.equal(moved[:, 0], x[:, 0])
    assert torch.equal(moved[:, 1, 0], x[:, 1, 0])
    assert not torch.equal(moved[:, 2], x[:, 2])
