"""The published attacks' own numbers, on tiny nets with closed-form weights and noise (shared golden values)."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.config import AttackSpec, ThreatModel
from bench.engine.suite import build
from bench.engine.verdicts.oracle import NetworkOracle
from bench.seeding import isolated

GOLDEN = Path(__file__).parents[1] / "golden" / "losses.json"
CASES = [c for c in json.loads(GOLDEN.read_text())["cases"] if c["kind"] == "attack_only"] if GOLDEN.exists() else []
pytestmark = pytest.mark.skipif(not CASES, reason="golden values are not in this checkout")
SPECS = {
    "fgsm": "fgsm",
    "pgd20": "pgd-20",
    "pgd100": "pgd-100",
    "cw_l2_m0.02": "cw-l2[stop=batch]",
    "cw_l2_m0.1": "cw-l2[stop=batch]",
    "cw_l2_m1": "cw-l2[stop=batch]",
    "atbsl_fgsm": "fgsm[start=gaussian]",
    "atbsl_pgd": "pgd-20[step=2/255,start=uniform]",
    "atbsl_cw": "cw-linf",
    "robal_cw": "cw-linf",
}


def closed(shape: list[int], a: float, w: float, p: float, o: float, q: float) -> torch.Tensor:
    k = torch.arange(int(torch.tensor(shape).prod()), dtype=torch.float64)
    return (o + a * torch.sin(w * k + p + q * (k % 13) ** 2)).reshape(shape)


class ClosedNoise:
    """The closed form that stands for random draws."""

    def __init__(self) -> None:
        self.t = 0

    def base(self, shape: tuple[int, ...]) -> torch.Tensor:
        self.t += 1
        return closed(list(shape), 1.0, 2.1, 0.7 + 0.9 * (self.t - 1), 0.0, 0.05)

    def gaussian(self, shape: tuple[int, ...]) -> torch.Tensor:
        return 1.3 * self.base(shape)

    def rand(self, shape: tuple[int, ...]) -> torch.Tensor:
        return 0.5 + 0.5 * self.base(shape)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> torch.Tensor:
        return low + (high - low) * self.rand(shape)


def tiny(classes: int, fc_scale: float) -> nn.Module:
    """The golden file's network."""
    forms = json.loads(GOLDEN.read_text())["tiny_net"]["params"]
    with isolated(0, "golden"):
        layers = {
            "conv": nn.Conv2d(3, 4, 3, padding=1, bias=False),
            "bn": nn.BatchNorm2d(4),
            "act": nn.Tanh(),
            "pool": nn.AvgPool2d(2),
            "flat": nn.Flatten(),
            "fc": nn.Linear(16, classes),
        }
    net = nn.Sequential(OrderedDict(layers))
    net.double()
    values = dict(net.named_parameters()) | dict(net.named_buffers())
    with torch.no_grad():
        for name, form in forms.items():
            factor = fc_scale if name.startswith("fc.") else 1.0
            values[name].copy_(factor * closed(list(values[name].shape), **form))
    return net


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
@pytest.mark.parametrize("folded", [True, False], ids=["folded", "plain"])
def test_attack_reproduces_the_golden_case(case: dict, folded: bool) -> None:
    given, want = case["inputs"], case["expected"]
    x, y = closed(**given["x"]), torch.tensor(given["labels"])
    net = tiny(given["C"], given["net"]["fc_scale"])
    spec = AttackSpec.parse(SPECS[case["id"].split("-")[1]])
    threat = ThreatModel(case["params"].get("eps", 8 / 255))
    if "robal" in case["id"]:
        step = case["params"]["step"] / threat.scale
        spec = AttackSpec(spec.name, (("step", step),))
    attack = build(spec, threat, given["C"])
    with NetworkOracle(net, given["C"], probe=x, folded=folded) as oracle:
        assert oracle.folded is folded
        answer = attack.run(oracle, x, y, ClosedNoise())
        passes = oracle.backwards
        assert oracle.plain(answer).argmax(1).tolist() == want["pred"]
    tolerance = case["tolerance_relative"]
    offset = answer - x
    assert float(answer.sum()) == pytest.approx(want["x_adv"]["sum"], rel=tolerance)
    assert float(offset.abs().sum()) == pytest.approx(want["x_adv"]["l1_to_x"], rel=tolerance, abs=1e-9)
    assert float(offset.abs().max()) == pytest.approx(want["x_adv"]["linf_to_x"], rel=tolerance, abs=1e-9)
    assert answer.flatten()[:8].tolist() == pytest.approx(want["x_adv"]["first8"], rel=tolerance, abs=1e-9)
    assert offset.flatten(1).norm(dim=1).tolist() == pytest.approx(want["l2_per_sample"], rel=tolerance, abs=1e-9)
    if "noise" not in case["id"] and spec.name in {"fgsm", "pgd-20", "pgd-100", "cw-l2"} and "atbsl" not in case["id"]:
        assert passes == want["forward_count"] * len(x)
