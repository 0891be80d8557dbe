"""The recipe's later axes: images held out, the epoch that is kept, schedules, clipping, optimisers."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from bench.config import CellSpec, Recipe, to_plain
from bench.engine.best import Best
from bench.engine.grid import Axes, expand
from bench.engine.images.subset import VALIDATION, load_data
from bench.engine.optimizer import clip, make_optimizer, set_rate
from bench.errors import UsageError
from bench.seeding import isolated


def layer(inputs, outputs):
    with isolated(0, "layer"):
        return nn.Linear(inputs, outputs)


def spec(**recipe):
    return CellSpec("at", "digitslt", 10.0, "small-cnn", 0, recipe=Recipe(**recipe), limit=40)


def test_nothing_new_is_written_at_the_defaults():
    written = to_plain(Recipe())
    assert {"schedule", "warmup", "rise", "optimizer", "decay", "clip", "validation", "select"}.isdisjoint(written)
    assert to_plain(Recipe(schedule="cosine"))["schedule"] == "cosine"
    assert spec().id != spec(validation=0.1).id


def test_validation_images_are_held_out_of_training_class_by_class():
    whole, split = load_data(spec()), load_data(spec(validation=0.2))
    held = split.validation
    assert sorted([*split.train_index.tolist(), *held.index.tolist()]) == sorted(whole.train_index.tolist())
    assert held.counts == tuple(max(1, int(0.2 * n + 0.5)) for n in whole.train_counts)
    assert split.train_counts == tuple(np.bincount(split.train_labels.numpy()))
    assert [n + v for n, v in zip(split.train_counts, held.counts, strict=True)] == list(whole.train_counts)
    assert split.subset_hash != whole.subset_hash
    assert all(torch.equal(split.splits[name], whole.splits[name]) for name in whole.splits)
    images, labels, index = split.shown(VALIDATION)
    assert len(images) == len(labels) == len(index) == sum(held.counts)


def test_validation_is_seeded():
    first, again = (load_data(spec(validation=0.2)).validation.index for _ in range(2))
    other = load_data(dataclasses.replace(spec(validation=0.2), seed=1)).validation.index
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_is_held_out_makes_no_other_images():
    """Else cells of other seeds or shares would be stale beside each other, and never compared."""
    specs = [spec(), spec(validation=0.1), spec(validation=0.2), dataclasses.replace(spec(validation=0.2), seed=1)]
    loaded = [load_data(one) for one in specs]
    assert len({one.data_hash for one in loaded}) == 1
    assert len({one.subset_hash for one in loaded}) == 4


def test_a_class_that_would_be_emptied_is_named_with_what_it_needs():
    with pytest.raises(UsageError, match=r"leaves class 7 \('.*'\) no training image: it has 1 .* at least 2"):
        load_data(dataclasses.replace(spec(validation=0.1), limit=10))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"select": "best[pgd-20]"}, "set validation too"),
        ({"select": "first", "validation": 0.1}, "neither last nor best"),
        ({"schedule": "fade", "milestones": (5,), "factors": (0.1,)}, "give two"),
        ({"schedule": "cosine", "compounding": True}, "drop one"),
        ({"schedule": "none such"}, "unknown schedule"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        Recipe(**settings)


@pytest.mark.parametrize("choice", ["no-such", "pgd-20[nope=1]"])
def test_the_judge_is_an_attack_that_exists(choice):
    with pytest.raises(UsageError, match=r"no-such|nope"):
        expand(Axes(methods=(f"at[validation=0.1,select=best[{choice}]]",), datasets=("digitslt",)))


def test_the_first_of_the_best_epochs_is_kept():
    network, accuracies = layer(1, 1), iter([0.1, 0.3, 0.3, 0.2])
    best = Best(lambda _: next(accuracies))
    for epoch in range(4):
        with torch.no_grad():
            network.weight.fill_(epoch)
        assert best.look(network, epoch) == {"validation": [0.1, 0.3, 0.3, 0.2][epoch]}
    assert (best.epoch, best.accuracy, float(best.values["weight"])) == (1, 0.3, 1.0)
    again = Best(lambda _: 0.3)
    again.load_state(json.loads(json.dumps({k: v for k, v in best.state().items() if k != "values"})) | {"values": {}})
    again.look(network, 4)
    assert again.epoch == 1


@pytest.mark.parametrize(
    ("settings", "at", "rate"),
    [
        # Rice's family: the last batch of an epoch has the rate of the next epoch (methods card 6.2)
        ({"schedule": "piecewise", "milestones": (50, 75)}, (49, 3), 0.01),
        ({"schedule": "piecewise", "milestones": (50, 75)}, (49, 2), 0.1),
        ({"schedule": "steps", "milestones": (50, 75)}, (49, 3), 0.1),
        ({"schedule": "cosine"}, (99, 3), 0.0),
        ({"schedule": "cosine-epoch"}, (50, 3), 0.05),
        ({"schedule": "superconverge"}, (39, 3), 0.1),
        ({"schedule": "multi-decay"}, (99, 3), 0.0),
        ({"schedule": "fade", "milestones": (90, 100), "factors": (0.1, 0.0)}, (94, 3), 0.005),
        ({"warmup": 4}, (0, 0), 0.025),
        ({"warmup": 5, "compounding": True}, (2, 0), 0.0192),
        ({"warmup": 5, "compounding": True}, (40, 0), 0.0192),
        ({"schedule": "one-cycle-epoch", "rise": 0.05}, (4, 3), 0.1),
    ],
)
def test_rates(settings, at, rate):
    assert Recipe(**settings).rate(*at, 4)[0] == pytest.approx(rate, abs=1e-12)


@pytest.mark.parametrize(("epochs", "rise"), [(4, 0.25), (40, 0.025), (1, 1.0), (2, 0.5)])
def test_a_rise_of_one_step_begins_at_the_top(epochs, rise):
    recipe = Recipe(schedule="one-cycle-epoch", epochs=epochs, full_epochs=epochs, rise=rise)
    rates = [recipe.rate(epoch, 0, 3) for epoch in range(epochs)]
    assert rates[0] == pytest.approx((0.1, 0.85))
    assert rates == sorted(rates, key=lambda pair: -pair[0])


def test_one_cycle_moves_the_momentum_the_other_way():
    recipe = Recipe(schedule="one-cycle", epochs=4, full_epochs=4)
    pairs = [recipe.rate(e, b, 5) for e in range(4) for b in range(5)]
    assert max(pairs)[1] == min(m for _, m in pairs) == pytest.approx(0.85)
    optimizer = make_optimizer(layer(2, 2), recipe, torch.device("cpu"))
    set_rate(optimizer, *pairs[3])
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == pairs[3]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_only_matrices_decay(name):
    network = layer(2, 2)
    before = {k: v.detach().clone() for k, v in network.named_parameters()}
    optimizer = make_optimizer(network, Recipe(optimizer=name, decay="matrices", weight_decay=0.5), torch.device("cpu"))
    sum(0.0 * p.sum() for p in network.parameters()).backward()
    optimizer.step()
    assert torch.equal(network.bias, before["bias"])
    assert not torch.equal(network.weight, before["weight"])


def test_a_gradient_is_clipped_only_when_it_is_too_long():
    network = layer(3, 1)
    for largest, left in ((0.0, 3.0), (5.0, 3.0), (1.5, 1.5)):
        network.weight.grad = torch.full((1, 3), 3**0.5)
        network.bias.grad = torch.zeros(1)
        clip(network, largest)
        assert float(network.weight.grad.norm()) == pytest.approx(left, rel=1e-5)
