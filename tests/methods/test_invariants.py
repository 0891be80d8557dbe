"""What must hold for any input: properties of the inner attack, of losses, and of their special cases."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from bench.api import Context
from bench.config import Recipe, ThreatModel
from bench.engine.gradients.inner import ascend, first_iterate, plain_gradient
from bench.errors import UsageError
from bench.seeding import StreamNoise, isolated, torch_stream
from bench.testing import attack, loss, step

CLASSES = 4
seeds = st.integers(0, 10**6)
few = settings(max_examples=15, deadline=None)


def net(seed=0, scale=1.0):
    with isolated(seed, "net"):
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, CLASSES)
        )
    module = module.double()
    with torch.no_grad():
        module[-1].weight.mul_(scale)
        module[-1].bias.mul_(scale)
    return module


def data(seed, n=6):
    generator = torch_stream(seed, "data")
    x = torch.rand((n, 3, 4, 4), generator=generator, dtype=torch.float64)
    return x, torch.randint(CLASSES, (n,), generator=generator)


def draws(seed):
    return StreamNoise(torch_stream(seed, "noise"), torch.float64)


def array(seed, *shape, name="array"):
    return 3 * torch.randn(shape, generator=torch_stream(seed, name), dtype=torch.float64)


COUNTS = (50, 30, 20, 10)


# ------------------------------------------------------------------------------------------------ the inner attack


@few
@given(seeds, st.lists(st.floats(1e-3, 1e3), min_size=6, max_size=6))
def test_positive_weights_leave_an_eval_mode_attack_unchanged(seed, weights):
    (x, y), w = data(seed), torch.tensor(weights, dtype=torch.float64)
    network = net(seed)
    plain = ascend(
        network, x, lambda z: cross_entropy(z, y, reduction="sum"), noise=draws(seed), eps=0.03, step=0.01, steps=4
    )
    weighted = ascend(
        network, x, lambda z: w * cross_entropy(z, y, reduction="none"), noise=draws(seed), eps=0.03, step=0.01, steps=4
    )
    assert torch.equal(plain, weighted)


@few
@given(
    seeds,
    st.sampled_from(["gaussian", "uniform", "uniform-clamped", "one-sided", "none"]),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.integers(0, 3),
    st.sampled_from(["eval", "train"]),
    st.booleans(),
)
def test_attack_stays_in_the_ball_and_the_box(seed, start, eps, size, steps, mode, per_image):
    (x, y), network = data(seed), net(seed)
    radius = torch.full((len(x), 1, 1, 1), eps, dtype=torch.float64) if per_image else eps
    adv = ascend(
        network,
        x,
        lambda z: cross_entropy(z, y, reduction="sum"),
        noise=draws(seed),
        start=start,
        mode=mode,
        eps=radius,
        step=size,
        steps=steps,
    )
    assert float((adv - x).abs().max()) <= eps + 1e-12
    assert float(adv.min()) >= 0
    assert float(adv.max()) <= 1
    assert not adv.requires_grad
    assert network.training
    assert all(p.grad is None for p in network.parameters())


@few
@given(seeds)
def test_only_the_clamped_start_is_in_the_box(seed):
    x = data(seed)[0].round()
    clamped = first_iterate("uniform-clamped", x, draws(seed), 0.1, 0.001)
    assert torch.equal(clamped, first_iterate("uniform", x, draws(seed), 0.1, 0.001).clamp(0, 1))
    assert float(first_iterate("uniform", x, draws(seed), 0.1, 0.001).max()) > 1
    assert bool((first_iterate("one-sided", x, draws(seed), 0.1, 0.001) >= x).all())


def test_unknown_start_and_mode():
    x, y = data(0)
    for wrong in ({"start": "gausian"}, {"mode": "both"}):
        with pytest.raises(UsageError, match="unknown"):
            ascend(net(), x, lambda z: cross_entropy(z, y), noise=draws(0), eps=0.1, step=0.1, steps=1, **wrong)


def test_eval_attack_leaves_the_statistics_alone_and_train_attack_moves_them():
    x, y = data(0)
    for mode, moved in (("eval", 0), ("train", 3)):
        network = net()
        ascend(network, x, lambda z: cross_entropy(z, y), noise=draws(0), mode=mode, eps=0.1, step=0.1, steps=3)
        assert int(network[1].num_batches_tracked) == moved


def test_context_scales_with_the_threat_model():
    seen = {}
    context = Context(
        torch.ones(3, dtype=torch.int64),
        Recipe(),
        ThreatModel(4 / 255),
        draws(0),
        lambda *_, **more: seen.update(more) or torch.zeros(1),
        plain_gradient,
    )
    context.pgd(net(), torch.zeros(1), lambda z: z)
    assert seen["eps"] == pytest.approx(4 / 255)
    assert seen["step"] == pytest.approx(1 / 255)
    assert seen["noise_scale"] == pytest.approx(0.0005)


# --------------------------------------------------------------------------------------------- losses on given logits


@few
@given(seeds, st.permutations(range(8)))
def test_a_permuted_batch_gives_the_same_loss(seed, order):
    y = torch.randint(CLASSES, (8,), generator=torch_stream(seed, "y"))
    clean, adv, features = (array(seed, 8, n, name=name) for name, n in (("c", CLASSES), ("a", CLASSES), ("f", 5)))
    kappa, order = torch.randint(11, (8,), generator=torch_stream(seed, "k")), torch.tensor(order)
    for method in (
        "ce",
        "at",
        "trades",
        "mart",
        "gairat",
        "he",
        "robal",
        "reat",
        "at-bsl",
        "harl",
        "taet",
        "las-at",
        "adt",
    ):
        first, second = (
            loss(
                method,
                y=y[i],
                class_counts=COUNTS,
                clean=clean[i],
                adv=adv[i],
                features=features[i],
                extras={"kappa": kappa[i]},
            ).loss
            for i in (torch.arange(8), order)
        )
        assert first == pytest.approx(second, rel=1e-9, abs=1e-12), method


@few
@given(seeds)
def test_absent_classes_have_no_loss_and_copies_change_nothing(seed):
    y = torch.randint(2, (6,), generator=torch_stream(seed, "y"))
    adv = array(seed, 6, CLASSES)
    once = loss("harl", y=y, class_counts=COUNTS, adv=adv)
    assert once.extras["class_losses"][2:].tolist() == [0.0, 0.0]
    twice = loss("harl", y=torch.cat([y, y]), class_counts=COUNTS, adv=torch.cat([adv, adv]))
    assert twice.loss == pytest.approx(once.loss, rel=1e-8)
    assert once.loss == pytest.approx(0.1 * (once.parts["bcl"] + once.parts["hdl"] + once.parts["rcel"]), rel=1e-12)


@few
@given(seeds, st.integers(1, 10**5))
def test_special_cases_are_cross_entropy(seed, count):
    y = torch.randint(CLASSES, (6,), generator=torch_stream(seed, "y"))
    adv, equal = array(seed, 6, CLASSES), (count,) * CLASSES
    plain = float(cross_entropy(adv, y))
    assert loss("at", y=y, class_counts=COUNTS, adv=adv).loss == pytest.approx(plain)
    assert loss("at-bsl", y=y, class_counts=equal, adv=adv).loss == pytest.approx(plain, rel=1e-9)
    none = {"m": 0, "tau_b": 0, "tau_m": 0, "s": 1}
    assert loss("robal", part="margin_loss", y=y, class_counts=COUNTS, hparams=none, adv=adv).loss == pytest.approx(
        plain
    )
    scaled = float(cross_entropy(7 * adv, y))
    assert loss("he", y=y, class_counts=COUNTS, hparams={"s": 7, "m": 0}, adv=adv).loss == pytest.approx(scaled)
    assert loss("las-at", y=y, class_counts=COUNTS, hparams={"smoothing": 1.0}, adv=adv).loss == pytest.approx(plain)
    same = loss("trades", y=y, class_counts=COUNTS, clean=adv, adv=adv)
    assert same.loss == pytest.approx(plain)
    assert same.parts["kl_mean"] == pytest.approx(0, abs=1e-12)


@few
@given(seeds, st.integers(0, 10), st.sampled_from(["tanh", "sigmoid", "discrete"]))
def test_gairat_with_equal_weights_is_adversarial_training(seed, kappa, func):
    y = torch.randint(CLASSES, (6,), generator=torch_stream(seed, "y"))
    adv = array(seed, 6, CLASSES)
    plain = loss("at", y=y, class_counts=COUNTS, adv=adv).loss
    equal = {"kappa": torch.full((6,), kappa)}
    assert loss(
        "gairat", y=y, class_counts=COUNTS, adv=adv, extras=equal, hparams={"func": func}
    ).loss == pytest.approx(plain)
    mixed = {"kappa": torch.arange(6)}
    infinite = loss("gairat", y=y, class_counts=COUNTS, adv=adv, extras=mixed, hparams={"lam": 100})
    assert infinite.loss == pytest.approx(plain)
    weights = loss("gairat", y=y, class_counts=COUNTS, adv=adv, extras=mixed).extras["weights"]
    assert float(weights.mean()) == pytest.approx(1)
    assert bool((weights.diff() <= 0).all())


@few
@given(seeds)
def test_tail_term_equals_its_double_loop(seed):
    y = torch.randint(CLASSES, (5,), generator=torch_stream(seed, "y"))
    features, n = array(seed, 5, 3), torch.tensor(COUNTS, dtype=torch.float64)
    q, w = features.softmax(1), (n.sum() / n).sqrt()
    wanted = []
    for i in range(5):
        if y[i] < 3:
            continue
        k = sum((q[i] * (q[i].log() - q[j].log())).sum() for j in range(5)) / (5 * 3)
        wanted.append(sum((-1 if y[i] == y[j] else 1) * k * (w[y[i]] + w[y[j]]) for j in range(5)) / 5)
    got = loss("reat", part="tail", y=y, class_counts=COUNTS, hparams={"tail_start": 3}, features=features)
    assert got.loss == pytest.approx(float(torch.stack(wanted).mean()) if wanted else 0.0, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_logits_give_finite_losses_and_gradients(dtype, size):
    y = torch.tensor([0, 1, 2, 3])
    sharp = (size * torch.eye(4)).roll(1, 0).to(dtype)
    for method in (
        *("ce", "at", "trades", "mart", "gairat", "he", "robal", "reat", "at-bsl", "harl", "taet", "las-at", "cfa"),
        *("dafa", "ldam", "focal", "cb", "cdt", "la", "bce", "rw-fine", "udr"),
    ):
        result = loss(
            method,
            y=y,
            class_counts=COUNTS,
            clean=-sharp,
            adv=sharp,
            features=sharp,
            extras={"kappa": torch.tensor([0, 3, 7, 10])},
        )
        assert torch.isfinite(torch.tensor(result.loss)), method
        assert all(bool(torch.isfinite(g).all()) for g in result.gradients.values()), method


# ------------------------------------------------------------------------------------------------ whole steps

#: train-mode forwards a step
TRAIN_FORWARDS = {
    "ce": 1, "at": 1, "trades": 3, "mart": 2, "gairat": 1, "he": 1, "adt": 1, "las-at": 1, "robal": 4, "reat": 1,
    "at-bsl": 1, "harl": 1, "taet": 1, "dafa": 2, "cfa": 2,
}  # fmt: skip


@pytest.mark.parametrize("method", TRAIN_FORWARDS)
def test_train_mode_forwards_move_the_statistics(method):
    x, y = data(1)
    result = step(
        method,
        model=net(),
        x=x,
        y=y,
        class_counts=COUNTS,
        noise=draws(1),
        epoch=99,
        hparams={"strategy_width": 2} if method == "las-at" else None,
    )
    assert result.forward_counts["train_mode"] == TRAIN_FORWARDS[method]
    assert int(result.buffers["1.num_batches_tracked"]) == TRAIN_FORWARDS[method]


@pytest.mark.parametrize(
    ("method", "hparams", "epoch", "wanted"),
    [
        ("taet", {"extra_clean_forward": True}, 0, 2),
        ("taet", {"extra_clean_forward": True}, 99, 2),
        ("taet", {}, 0, 1),
        ("at-bsl", {"extra_clean_forward": True}, 0, 2),
        ("at", {"attack_mode": "train"}, 0, 11),
        ("adt", {"variant": "EXP-AM", "generator_width": 2}, 0, 1),
    ],
)
def test_quirks_show_in_the_train_mode_forwards(method, hparams, epoch, wanted):
    x, y = data(1)
    result = step(method, model=net(), x=x, y=y, class_counts=COUNTS, noise=draws(1), epoch=epoch, hparams=hparams)
    assert result.forward_counts["train_mode"] == wanted


def test_steps_leave_the_network_given_alone():
    x, y = data(2)
    network = net()
    before = copy.deepcopy(network.state_dict())
    step("trades", model=network, x=x, y=y, class_counts=COUNTS, noise=draws(2))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_cw_l2_depends_on_the_scale_of_the_logits_and_margin_attacks_do_not():
    x, _ = data(3)
    small, large = net(3, scale=0.02), net(3, scale=5.0)
    y = small.eval()(x).argmax(1)
    unbounded = [attack("cw-l2", model=m, x=x, y=y) for m in (small, large)]
    assert not torch.allclose(unbounded[0].x_adv, unbounded[1].x_adv)
    inside = [attack("cw-linf", model=m, x=x, y=y, noise=draws(3)) for m in (small, large)]
    assert torch.equal(inside[0].x_adv, inside[1].x_adv)
    assert torch.equal(inside[0].predictions, inside[1].predictions)


# ------------------------------------------------------------------------------------------------ asking wrongly


def test_wrong_questions_get_one_sentence():
    y, adv = torch.tensor([0, 1]), torch.zeros(2, 2)
    with pytest.raises(UsageError, match="needs the array `clean`"):
        loss("trades", y=y, class_counts=(1, 1), adv=adv)
    with pytest.raises(UsageError, match=r"has no part 'margn_loss'. Did you mean 'margin_loss'"):
        loss("robal", part="margn_loss", y=y, adv=adv)
    with pytest.raises(UsageError, match="draws no policies"):
        step("at", model=net(), x=data(0)[0], y=data(0)[1], class_counts=COUNTS, policies=[{}])
    with pytest.raises(UsageError, match="too short"):
        step("gairat", model=net(), x=data(0)[0], y=data(0)[1], class_counts=COUNTS, hparams={"steps": 1})
