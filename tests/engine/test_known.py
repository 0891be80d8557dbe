"""Problems whose answer is known exactly, through the real suite and the real metrics."""

import numpy as np
import pytest
import torch
from torch import nn

from bench.config import AttackSpec, ThreatModel
from bench.engine.life.known import linear_answer
from bench.engine.suite import evaluate
from bench.judge.metrics import metric
from bench.seeding import torch_stream

ATTACKS = [AttackSpec(name) for name in ("clean", "fgsm", "pgd-20", "cw-linf", "cw-l2")]


def images(count, side=4):
    return torch.rand(count, 1, side, side, generator=torch_stream(1, "images"))


def counts(labels, correct, classes):
    return np.bincount(labels, minlength=classes), np.bincount(labels, weights=correct, minlength=classes)


def test_a_linear_network_has_exactly_the_robust_images_of_the_closed_form():
    exact, measured = linear_answer()
    assert 0 < exact < 64
    assert measured == exact


@pytest.mark.parametrize("eps", [0.01, 0.03, 0.08])
def test_the_closed_form_holds_at_every_radius(eps):
    exact, measured = linear_answer(eps=eps)
    assert measured == exact


class Constant(nn.Module):
    """Always says class 2."""

    def __init__(self, classes):
        super().__init__()
        self.logits = nn.Parameter(torch.nn.functional.one_hot(torch.tensor(2), classes).float())

    def forward(self, x):
        return self.logits + 0 * x.flatten(1).sum(1, keepdim=True)


def test_a_constant_predictor_has_one_over_c_balanced_under_every_attack():
    classes = 5
    labels = torch.tensor([0] * 30 + [1] * 20 + [2] * 9 + [3] * 4 + [4] * 2)
    result = evaluate(
        Constant(classes),
        images(len(labels)),
        labels,
        torch.arange(len(labels)),
        ATTACKS,
        threat=ThreatModel(),
        num_classes=classes,
        root_seed=0,
    )
    for attack in result.attacks.values():
        n, correct = counts(labels.numpy(), attack.correct, classes)
        assert metric("balanced", n, correct) == 1 / classes
        assert metric("standard", n, correct) == 9 / len(labels)


class Memory(nn.Module):
    """The label of the nearest stored image."""

    def __init__(self, stored, labels, classes):
        super().__init__()
        self.register_buffer("stored", stored.flatten(1))
        self.register_buffer("targets", torch.nn.functional.one_hot(labels, classes).float())

    def forward(self, x):
        distance = torch.cdist(x.flatten(1).to(self.stored.dtype), self.stored)
        return torch.softmax(-100 * distance, 1) @ self.targets


def test_a_model_that_has_memorised_the_set_is_right_on_all_of_it_in_every_metric():
    x, labels = images(40), torch.arange(40) % 4
    result = evaluate(
        Memory(x, labels, 4),
        x,
        labels,
        torch.arange(40),
        [AttackSpec("clean")],
        threat=ThreatModel(),
        num_classes=4,
        root_seed=0,
    )
    n, correct = counts(labels.numpy(), result.clean, 4)
    for name in ("balanced", "standard", "head", "tail", "worst-class"):
        assert metric(name, n, correct) == 1.0
