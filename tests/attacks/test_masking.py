"""Networks that hide their gradients are caught; the network they are made of is not flagged."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.config import AttackSpec, ThreatModel
from bench.engine.life.record import attack_facts
from bench.engine.suite import evaluate
from bench.engine.verdicts.results import SuiteResult
from bench.errors import ModelError
from bench.seeding import isolated
from bench.store.flags import Evidence, raised
from bench.store.parts.record import EvaluationFacts

Trained = Callable[..., tuple[nn.Module, Tensor, Tensor]]


class Rounding(nn.Module):
    """Rounds its input: the gradient is zero everywhere."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x * 8).round() / 8)


class Loud(Rounding):
    """Multiplies its logits: the softmax is saturated, predictions are unchanged."""

    def forward(self, x: Tensor) -> Tensor:
        return 1000 * self.net(x)


class Quiet(Rounding):
    """Divides its logits: cw-l2 stalls."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) / 1000


class Softmax(Rounding):
    """Gives probabilities."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).softmax(1)


class Noisy(Rounding):
    """Adds noise to its input."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + 0.1 * torch.randn_like(x))


class BatchNormed(Rounding):
    """Normalises over the batch at hand, always."""

    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        return (z - z.mean(0)) / (z.std(0, correction=0) + 1e-3)


class Constant(Rounding):
    """Always says zero."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * 1e-3 + torch.eye(10)[0]


class LogSoftmax(Rounding):
    """Gives logarithms of probabilities, all negative."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).log_softmax(1)


class Lifted(Rounding):
    """Adds one large number to all logits."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + 1e8


class Turned(torch.autograd.Function):
    """The identity, whose backward pass turns the sign round."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return -gradient


class Astray(Rounding):
    """Computes what its network does, and gives the opposite of its gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(Turned.apply(x))


def judged(net: nn.Module, x: Tensor, y: Tensor, specs: list[str]) -> tuple[SuiteResult, dict[str, list[str]]]:
    result = evaluate(
        net.eval(),
        x,
        y,
        torch.arange(len(x)),
        [AttackSpec.parse(s) for s in specs],
        threat=ThreatModel(0.15),
        num_classes=10,
        root_seed=0,
    )
    facts = {label: attack_facts(attack) for label, attack in result.attacks.items()}
    attacks = {label: msgspec.convert(some, EvaluationFacts) for label, some in facts.items()}
    correct = {label: a.correct for label, a in result.attacks.items()}
    found = raised(Evidence(attacks, correct, y.numpy(), result.probes, 0.15))
    return result, {label: [f for f in names if f != "small-class"] for label, names in found.items()}


ALL = ["clean", "fgsm", "pgd-20", "cw-l2[steps=30]", "cw-linf", "aa[queries=300,steps=20]"]


def test_a_sound_network_is_not_flagged(trained: Trained) -> None:
    net, x, y = trained("conv")
    result, flags = judged(net, x[:120], y[:120], ALL)
    assert not any(flags.values()), flags
    assert 0.05 < result.attacks["aa[queries=300,steps=20]"].accuracy < 0.9


def test_a_rounding_network_is_caught(trained: Trained) -> None:
    net, x, y = trained("conv", robust=False)
    result, flags = judged(Rounding(net), x[:60], y[:60], ALL)
    assert result.probes["zero_gradient_share"] == 1.0
    assert all("zero-gradient" in flags[label] for label in ALL[1:])
    assert "black-box" in flags["aa[queries=300,steps=20]"]


@pytest.mark.parametrize(
    ("wrapped", "flag", "whom"),
    [
        (LogSoftmax, "small-logits", ["cw-l2"]),
        (Lifted, "coarse-logits", ["fgsm", "cw-linf", "cw-l2"]),
        (Astray, "astray-gradient", ["fgsm", "cw-linf", "cw-l2"]),
    ],
)
def test_what_weakens_an_attack_without_changing_a_prediction_is_caught(
    trained: Trained, wrapped: type[nn.Module], flag: str, whom: list[str]
) -> None:
    net, x, y = trained("conv", robust=False)
    specs = ["clean", "fgsm", "cw-linf", "cw-l2"]
    plain, _ = judged(net, x[:80], y[:80], specs)
    found, flags = judged(wrapped(net), x[:80], y[:80], specs)
    assert [label for label in specs if flag in flags[label]] == whom
    weakened = [label for label in specs if found.attacks[label].correct.sum() > plain.attacks[label].correct.sum() + 4]
    assert weakened
    assert set(weakened) <= set(whom)


def test_saturated_logits_are_caught_and_the_adaptive_stages_see_through(trained: Trained) -> None:
    net, x, y = trained("conv", robust=False)
    specs = ["clean", "pgd-20", "aa-plus[queries=10,steps=3]"]
    loud, flags = judged(Loud(net), x[:80], y[:80], specs)
    plain, _ = judged(net, x[:80], y[:80], specs)
    assert "large-logits" in flags["pgd-20"]
    assert loud.attacks["pgd-20"].accuracy > plain.attacks["pgd-20"].accuracy + 0.2
    plus = [r.attacks["aa-plus[queries=10,steps=3]"].accuracy for r in (loud, plain)]
    assert abs(plus[0] - plus[1]) < 0.03


def test_small_logits_are_caught(trained: Trained) -> None:
    net, x, y = trained("conv")
    result, flags = judged(Quiet(net), x[:60], y[:60], ["clean", "cw-l2", "cw-linf"])
    assert "small-logits" in flags["cw-l2"]
    assert not flags["cw-linf"]
    assert result.attacks["cw-l2"].accuracy > result.attacks["cw-linf"].accuracy


def test_probabilities_are_caught(trained: Trained) -> None:
    net, x, y = trained("conv")
    _, flags = judged(Softmax(net), x[:40], y[:40], ["clean", "fgsm"])
    assert "probabilities" in flags["clean"]
    assert "probabilities" in flags["fgsm"]


def test_random_outputs_are_caught_and_averaged(trained: Trained) -> None:
    net, x, y = trained("conv")
    specs = ["clean", "aa-plus[queries=5,steps=2]"]
    result, flags = judged(Noisy(net), x[:40], y[:40], specs)
    assert "random-outputs" in flags["clean"]
    last = result.attacks[specs[1]].stages[-1]
    assert last.name == "expectation"
    assert last.backwards >= 20 * last.attacked > 0
    again, _ = judged(Noisy(net), x[:40], y[:40], specs)
    np.testing.assert_array_equal(again.attacks[specs[1]].correct, result.attacks[specs[1]].correct)


class Purified(nn.Module):
    """Moves the image against its own loss before it answers, or asks for gradients of nothing."""

    def __init__(self, inner: nn.Module, steps: int) -> None:
        super().__init__()
        self.inner, self.steps = inner, steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.steps):
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                (slope,) = torch.autograd.grad(self.inner(leaf).amax(1).sum(), leaf)
            x = x + 0.01 * slope.sign()
        return self.inner(x)


@pytest.mark.parametrize("steps", [0, 1])
def test_a_network_that_optimises_while_it_answers_is_caught(trained: Trained, steps: int) -> None:
    net, x, y = trained("conv")
    _, flags = judged(Purified(net, steps), x[:40], y[:40], ["clean", "fgsm"])
    assert ("dynamic-defence" in flags["clean"]) is bool(steps)
    assert ("dynamic-defence" in flags["fgsm"]) is bool(steps)


def test_batch_statistics_are_caught(trained: Trained) -> None:
    net, x, y = trained("conv")
    _, flags = judged(BatchNormed(net), x[:40], y[:40], ["clean"])
    assert "batch-statistics" in flags["clean"]
    with isolated(0, "stuck"):
        stuck = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.Linear(144, 10)
        )
    _, flags = judged(stuck, x[:40], y[:40], ["clean"])
    assert "batch-statistics" in flags["clean"]


def test_collapse_is_caught(trained: Trained) -> None:
    net, x, y = trained("conv")
    _, flags = judged(Constant(net), x[:60], y[:60], ["clean"])
    assert "collapse" in flags["clean"]


def test_images_outside_the_box_are_caught(trained: Trained) -> None:
    net, x, y = trained("conv")
    _, flags = judged(net, (x[:40] - 0.3) / 0.2, y[:40], ["clean"])
    assert "pixels" in flags["clean"]
    with pytest.raises(ModelError, match=r"'fgsm' failed: .* --normalize"):
        judged(net, (x[:40] - 0.3) / 0.2, y[:40], ["fgsm"])
