"""What must hold for any input of enhancers, of RoBal's baselines and of the attacks pma and malt (methods card 10)."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from bench.api import Inner
from bench.errors import UsageError
from bench.registry import registry
from bench.seeding import CounterNoise, StreamNoise, isolated, torch_stream
from bench.testing import loss, step
from bench.testing.evaluate import attacked, build_head, context_for, make_enhancer, make_method

COUNTS = (50, 30, 20, 10)
CLASSES = len(COUNTS)
seeds = st.integers(0, 10**6)
few = settings(max_examples=10, deadline=None)
counts = st.lists(st.integers(1, 5000), min_size=2, max_size=6)


def net(seed=0):
    with isolated(seed, "net"):
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, CLASSES)
        )
    return module.double()


def data(seed, n=6):
    generator = torch_stream(seed, "data")
    x = torch.rand((n, 3, 4, 4), generator=generator, dtype=torch.float64)
    return x, torch.randint(CLASSES, (n,), generator=generator)


def draws(seed):
    return StreamNoise(torch_stream(seed, "noise"), torch.float64)


def array(seed, *shape):
    return 3 * torch.randn(shape, generator=torch_stream(seed, "array"), dtype=torch.float64)


def context(epoch=0, n=COUNTS, epochs=100, **recipe):
    return context_for(
        make_method("at", recipe, "paper", epochs)[1], n, torch.zeros(1, dtype=torch.float64), epoch=epoch
    )


def stepped(method="at", seed=1, **more):
    x, y = data(seed)
    return step(method, model=net(seed), x=x, y=y, class_counts=COUNTS, noise=draws(seed), **{"epoch": 50, **more})


# ------------------------------------------------------------------------------------------------ switched off

OFF = {name: registry("enhancers").get(name).off for name in registry("enhancers").names()}


@pytest.mark.parametrize("name", registry("enhancers").names())
@pytest.mark.parametrize("method", ["at", "at-bsl", "taet", "trades"])
def test_an_enhancer_that_is_switched_off_changes_no_byte_of_a_step(name, method):
    plain, enhanced = stepped(method), stepped(method, enhancers=[(name, OFF[name])])
    assert torch.equal(plain.x_adv, enhanced.x_adv)
    for before, after in ((plain.after, enhanced.after), (plain.buffers, enhanced.buffers)):
        assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert plain.forward_counts == enhanced.forward_counts


# ------------------------------------------------------------------------------------------------ RobustLT


@few
@given(counts, st.floats(0, 1), st.randoms())
def test_radii_of_robustlt(n, alpha, chance):
    trick = make_enhancer("robustlt", {"alpha": alpha, "beta": 0.0})
    at = trick.factors(context(n=n))
    shares = torch.tensor(n, dtype=torch.float64) / sum(n)
    assert float((shares * at).sum()) == pytest.approx(1)
    order = sorted(range(len(n)), key=lambda c: n[c])
    assert all(at[a] >= at[b] - 1e-12 for a, b in itertools.pairwise(order))
    shuffled = chance.sample(range(len(n)), len(n))
    again = trick.factors(context(n=[n[i] for i in shuffled]))
    assert torch.allclose(again, at[shuffled])
    assert torch.allclose(trick.factors(context(n=[7] * len(n))), torch.ones(len(n), dtype=torch.float64))


def test_robustlts_first_epoch_returns_the_images_and_the_ramp_ends():
    result = stepped(epoch=0, epochs=10, enhancers=[("robustlt", {})])
    assert torch.equal(result.x_adv, data(1)[0])
    trick = make_enhancer("robustlt", {"beta": 0.5})
    assert [trick.ramp(context(e, epochs=10)) for e in (0, 1, 5, 9)] == pytest.approx([0, 0.2, 1, 1])
    assert trick.factors(context(0, epochs=10)).tolist() == [0] * CLASSES


def test_the_radius_of_robustlt_does_not_depend_on_the_batch():
    wrapped = {"enhancers": [("robustlt", {"beta": 0.0})]}
    x, y = data(3)
    whole = step("at", model=net(), x=x, y=y, class_counts=COUNTS, hparams={"start": "none"}, **wrapped).x_adv
    part = step("at", model=net(), x=x[:2], y=y[:2], class_counts=COUNTS, hparams={"start": "none"}, **wrapped).x_adv
    assert torch.allclose(whole[:2], part)


# ------------------------------------------------------------------------------------------------ AWP


@few
@given(seeds, st.floats(1e-4, 0.1))
def test_awp_perturbs_weights_by_their_share_and_nothing_else(seed, gamma):
    before = {name: p.detach() for name, p in net(seed).named_parameters()}
    result = stepped(seed=seed, enhancers=[("awp", {"gamma": gamma})], hparams={"lr": 1e-9, "weight_decay": 0.0})
    for name, p in result.parameters.items():
        if name in ("0.weight", "4.weight"):
            assert float((p - before[name]).norm() / before[name].norm()) == pytest.approx(gamma, rel=1e-9)
        else:
            assert torch.equal(p, before[name])
        assert torch.allclose(result.after[name], before[name], atol=1e-6)
    assert result.enhancer_forwards == 1


def test_awp_goes_uphill_and_its_first_epoch_may_come_late():
    plain = stepped(seed=4)
    assert stepped(seed=4, enhancers=[("awp", {"gamma": 1e-4})]).loss > plain.loss
    late = stepped(seed=4, enhancers=[("awp", {"gamma": 0.1, "begin": 51})])
    assert late.loss == plain.loss
    assert late.enhancer_forwards == 0


def test_awp_along_the_optimiser_turns_downhill_when_momentum_is_strong():
    """With a buffer of s times the gradient the direction is (1.9 - 0.81 s) g: ascent below 2.35, then descent."""
    own = {"lr": 0.1, "nesterov": True, "weight_decay": 0.0, "attack_mode": "eval"}
    slopes = stepped(seed=5, hparams=own).grads
    plain = stepped(seed=5, hparams=own).loss
    for strength, sign in ((0.0, 1), (1.0, 1), (4.0, -1)):
        buffers = {name: strength * slope for name, slope in slopes.items()}
        result = stepped(
            seed=5,
            hparams=own,
            momentum_buffers=buffers,
            enhancers=[("awp", {"gamma": 1e-4, "direction": "optimiser"})],
        )
        assert math.copysign(1, result.loss - plain) == sign


# ------------------------------------------------------------------------------------------------ UDR, CFOL


@few
@given(st.lists(st.floats(0, 8 / 255), min_size=1, max_size=30))
def test_udrs_lambda_never_rises_while_the_ball_is_kept(distances):
    trick, where, before = make_enhancer("udr", {"period": 3}), context(), 1.0
    for where.batch, distance in enumerate(distances):
        trick.seen.append(torch.tensor(distance, dtype=torch.float64))
        trick.after_step(nn.Identity(), where)
        assert float(trick.lam) <= before + 1e-15
        before = float(trick.lam)


def test_a_soft_ball_lets_images_out_and_a_hard_one_does_not():
    x = data(1)[0]
    soft, hard = (stepped(enhancers=[("udr", {"lam": lam, "rate": 0.0})]).x_adv for lam in (0.5, 1.0))
    assert (soft - x).abs().max() > 8 / 255 + 1e-9
    assert (hard - x).abs().max() <= 8 / 255 + 1e-12
    assert 0 <= soft.min() <= soft.max() <= 1


def sampler(**chosen):
    trick = make_enhancer("cfol", {"eta": 0.1, **chosen})
    trick.setup(nn.Identity(), context())
    return trick


@few
@given(seeds, st.floats(0.01, 1), st.sampled_from(["uniform", "empirical"]))
def test_cfols_distribution(seed, gamma, base):
    trick, y = sampler(gamma=gamma, base=base), data(seed, 12)[1]
    trick.update(y, torch.zeros(12))
    assert torch.equal(trick.p, sampler(gamma=gamma, base=base).p)
    wrong = (array(seed, 12) > 0).double()
    trick.update(y, wrong)
    assert float(trick.p.sum()) == pytest.approx(1)
    assert bool((trick.p >= gamma * trick.b - 1e-12).all())
    other, order = sampler(gamma=gamma, base=base), torch.randperm(12, generator=torch_stream(seed))
    other.update(y[order], wrong[order])
    assert torch.allclose(other.w, trick.w)


def test_an_adversary_that_ran_away_is_a_sentence():
    trick = sampler(eta=1e300, gamma=0.0)
    trick.images = [torch.tensor([c]) for c in range(len(trick.w))]
    for _ in range(3):
        trick.update(torch.tensor([0, 0]), torch.ones(2).double())
        trick.update(torch.tensor([1, 1]), torch.ones(2).double())
    with pytest.raises(UsageError, match=r"with eta 1e\+300 and gamma 0 the adversary's weights became infinite"):
        trick.draw(torch.tensor([0, 1]), torch.Generator())


def test_cfol_learns_from_the_logits_of_the_outer_forward_and_draws_what_is_wrong():
    result = stepped(enhancers=[("cfol", {"eta": 1.0})])
    assert result.enhancers[0].w.tolist() != [0.0] * CLASSES
    trick = sampler(gamma=0.0)
    trick.w = torch.tensor([0.0, 50.0, 0.0, 0.0], dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 1])
    trick.order(labels, context(), torch_stream(0))
    drawn = trick.draw(torch.arange(40), torch_stream(1))
    assert set(labels[drawn].tolist()) == {1}
    assert set(drawn.tolist()) == {1, 4}
    late = stepped(enhancers=[("cfol", {"eta": 1.0, "begin": 51})]).enhancers[0]
    assert late.w.tolist() == [0.0] * CLASSES
    late.order(labels, context(50), torch_stream(0))
    assert late.draw(torch.arange(3), torch_stream(1)).tolist() == [0, 1, 2]


def test_cfol_reweighted_scales_the_gradient_of_each_image():
    """Of a mean over images, the weighted gradient is the gradient of the weighted mean."""
    x, y = data(2)
    network = net(2)

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = network[:-1], network[-1]

        def features(self, images):
            return self.body(images)

        def forward(self, images):
            return self.head(self.body(images))

    got = step(
        "at",
        model=Whole(),
        x=x,
        y=y,
        class_counts=COUNTS,
        epoch=0,
        hparams={"start": "none", "steps": 0},
        enhancers=[("cfol", {"reweight": True, "prior": "empirical", "gamma": 0.0})],
    )
    weights = CLASSES * torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS)
    fresh = Whole().train()
    (weights[y] * cross_entropy(fresh(x), y, reduction="none")).mean().backward()
    assert torch.allclose(got.grads["head.weight"], fresh.head.weight.grad)


# ------------------------------------------------------------------------------------------------ samplers, averages


def test_samplers_balance_the_classes():
    labels = torch.tensor([0] * 40 + [1] * 8 + [2] * 4)
    where = context(n=(40, 8, 4))
    for name, count in (("balanced-sampler", 52), ("class-aware-sampler", 120)):
        order = make_enhancer(name, {}).order(labels, where, torch_stream(0))
        assert len(order) == count
        assert min(torch.bincount(labels[order], minlength=3).tolist()) >= count // 3 - 9
    cycles = labels[order].reshape(-1, 3)
    assert all(sorted(row) == [0, 1, 2] for row in cycles.tolist())
    assert sorted(order[labels[order] == 0].tolist()) == list(range(40))
    for name in ("balanced-sampler", "class-aware-sampler"):  # deferred by half of the training
        later = make_enhancer(name, {"begin": 50})
        assert later.order(labels, context(49, n=(40, 8, 4)), torch_stream(0)) is None
        assert later.order(labels, context(50, n=(40, 8, 4)), torch_stream(0)) is not None
    assert later.epoch_images((40, 8, 4), where.recipe) == (52 + 120) / 2
    short = make_enhancer("class-aware-sampler", {"length": "images"}).order(labels, where, torch_stream(0))
    assert len(short) == 52


def test_an_average_of_equal_networks_is_that_network_and_a_decay_of_zero_copies():
    network, other = net(1), net(2)
    swa, ema = make_enhancer("swa", {}), make_enhancer("ema", {"warmup": 0.0})
    for trick in (swa, ema):
        trick.setup(other, context())
    for _ in range(3):
        swa.collect(network)
    assert all(torch.allclose(swa.average[name], p) for name, p in network.named_parameters())
    ema.after_step(network, context())  # d = min(tau, 2/11) of the first step
    mixed = {
        name: 9 / 11 * p + 2 / 11 * q
        for (name, p), q in zip(network.named_parameters(), other.parameters(), strict=True)
    }
    assert all(torch.allclose(ema.average[name], value) for name, value in mixed.items())
    off = make_enhancer("ema", {"tau": 0.0, "warmup": 0.0})
    off.setup(other, context())
    off.after_step(network, context())
    assert all(torch.equal(off.average[name], p) for name, p in network.named_parameters())


def test_statistics_estimated_anew_are_plain_means_and_know_no_order():
    swa = make_enhancer("swa", {})
    swa.setup(net(1), context())
    swa.collect(net(1))
    batches = [data(seed, 5)[0] for seed in range(3)]
    first, second = (swa.evaluated(net(1), lambda order=order: order) for order in (batches, batches[::-1]))
    assert torch.allclose(first["1.running_mean"], second["1.running_mean"])
    maps = [net(1)[0](batch) for batch in batches]
    wanted = torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0)
    assert torch.allclose(first["1.running_mean"], wanted)


@pytest.mark.parametrize("name", registry("enhancers").names())
def test_what_an_enhancer_remembers_goes_through_its_state(name):
    trick, again = make_enhancer(name, {}), make_enhancer(name, {})
    network, where = net(1), context(60)
    for one in (trick, again):
        one.setup(network, where)
    trick.attacked(*(data(seed)[0] for seed in (1, 2)), where)
    where.labels = data(1)[1]
    if name != "smoothing":
        trick.after_loss(network, data(1)[0], data(1)[0], array(1, 6, CLASSES), where)
    trick.after_step(net(3), where)
    trick.after_epoch(net(3), where)
    again.load_state(copy.deepcopy(trick.state()))
    assert str(again.state()) == str(trick.state())


@few
@given(seeds, st.floats(0.05, 1))
def test_cutmix_keeps_every_pixel_and_shares_the_labels_by_pixels(seed, p):
    trick, where = make_enhancer("cutmix", {"p": p}), context()
    x, y = torch.arange(6.0, dtype=torch.float64).view(6, 1, 1, 1).expand(6, 1, 8, 8), torch.arange(6)
    mixed, labels = trick.mix(x, y, where, torch_stream(seed, "draws"))
    z = array(seed, 6, 6)
    for i in range(6):
        own = float((mixed[i] == labels[i]).double().mean())
        assert own >= 0.5
        if trick.other is not None:
            assert own == pytest.approx(1.0 if labels[i] == trick.other[i] else trick.stays)
            assert set(mixed[i].unique().tolist()) <= {float(labels[i]), float(trick.other[i])}
    if trick.other is None:
        assert torch.equal(mixed, x)
        assert where.targets is None
    else:
        one, two = (cross_entropy(z, t) for t in (labels, trick.other))
        assert torch.isclose(where.cross_entropy(z, labels), trick.stays * one + (1 - trick.stays) * two)


def test_cutmix_refuses_a_loss_without_cross_entropy():
    trick, where = make_enhancer("cutmix", {}), context()
    trick.mix(*data(1), where, torch_stream(0, "draws"))
    with pytest.raises(UsageError, match="unheard"):
        trick.after_loss(net(1), data(1)[0], data(1)[0], None, where)


def test_radii_of_cfa_and_dafa_are_those_of_the_methods():
    """The same epoch of logits gives cfa's and dafa's own radii."""
    where = context(69, epochs=110)
    where.labels = y = torch.tensor([0, 0, 1, 2, 3, 3])
    logits = array(3, 6, CLASSES)
    tricks = {name: make_enhancer(name, {}) for name in ("cfa-radius", "dafa-radius")}
    bases = {name: make_method(name, {}, "paper", 110)[0] for name in ("cfa", "dafa")}
    for one in (*tricks.values(), *bases.values()):
        one.setup(net(1), where)
    for trick in tricks.values():
        trick.after_loss(net(1), torch.zeros(1), torch.ones(1), logits, where)
        trick.after_epoch(net(1), where)
    right = (logits.argmax(1) == y).float()
    bases["cfa"].radii.robust = torch.stack([right[y == c].mean() for c in range(CLASSES)])
    similarity = torch.stack([logits.softmax(1)[y == c].mean(0) for c in range(CLASSES)]).float()
    weights = bases["dafa"].radii.weighed(similarity, torch.ones(CLASSES, dtype=torch.bool))
    where.epoch = 70
    attack = Inner("gaussian", "eval", where.eps, where.step_size, 10)
    cfa, dafa = (trick.inner(attack, where) for trick in tricks.values())
    torch.testing.assert_close(cfa.eps, bases["cfa"].radii.of(y, where, torch.zeros(1)) * where.eps)
    assert cfa.step == attack.step
    torch.testing.assert_close(dafa.eps.flatten(), weights[y] * where.eps)
    torch.testing.assert_close(dafa.step.flatten(), weights[y] * where.step_size)


def test_smoothing_refuses_a_loss_without_cross_entropy():
    with pytest.raises(UsageError, match="nothing to smooth"):
        stepped("focal", enhancers=[("smoothing", {})])


def test_the_two_conventions_of_smoothing():
    y, adv = torch.tensor([0, 1, 2]), array(1, 3, CLASSES)
    values = [
        loss("at", y=y, class_counts=COUNTS, adv=adv, enhancers=[("smoothing", {"s": s, "over": over})]).loss
        for s, over in ((0.2, "all"), (0.2 * (CLASSES - 1) / CLASSES, "others"))
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    assert values[0] == pytest.approx(float(cross_entropy(adv, y, label_smoothing=0.2)), rel=1e-12)


# ------------------------------------------------------------------------------------------------ RoBal's baselines


@few
@given(seeds)
def test_special_cases_of_the_losses(seed):
    y, adv = data(seed)[1], array(seed, 6, CLASSES)

    def value(method, n=COUNTS, **hparams):
        return loss(method, y=y, class_counts=n, adv=adv, hparams=hparams, epoch=99).loss

    plain = pytest.approx(float(cross_entropy(adv, y)), rel=1e-9)
    assert value("ldam", max_m=0.0) == plain
    assert value("ldam", max_m=0.0, s=3.0) == pytest.approx(float(cross_entropy(3 * adv, y)), rel=1e-9)
    assert value("cdt", tau=0.0) == plain
    assert value("la", n=(9, 9, 9, 9)) == plain
    assert value("la") == pytest.approx(loss("at-bsl", y=y, class_counts=COUNTS, adv=adv).loss, rel=1e-9)
    assert value("focal", gamma=0.0) == pytest.approx(CLASSES * value("bce"), rel=1e-9)
    assert value("cb", n=(9, 9, 9, 9)) == pytest.approx(value("focal"), rel=1e-9)
    assert value("cb", beta=0.0) == pytest.approx(value("focal"), rel=1e-9)
    assert value("ldam", drw_epochs=(0,), drw_betas=(0.0,)) == pytest.approx(value("ldam"), rel=1e-9)


def test_drw_wants_epochs_and_betas_that_fit():
    with pytest.raises(UsageError, match="do not fit together"):
        make_method("ldam", {"drw_epochs": (0, 40), "drw_betas": (0.0,)}, "paper")


@pytest.mark.parametrize(
    ("method", "off", "bias"),
    [
        ("tau-norm", {"tau": 0.0}, False),
        ("lws", {}, False),
        ("la-posthoc", {"tau_p": 0.0}, True),
        ("cdt-posthoc", {"tau": 0.0}, True),
    ],
)
def test_a_head_that_is_switched_off_is_the_plain_one(method, off, bias):
    features = array(1, 5, 6)
    head = build_head(method, 6, CLASSES, off).double()
    chosen, _ = make_method(method, off, "paper")
    chosen.setup(head, context())
    chosen.deploy(head, True)
    plain = features @ head.weight.T + (head.bias if bias else 0)
    assert torch.allclose(head(features), plain)


# ------------------------------------------------------------------------------------------------ PMA, MALT


@few
@given(seeds)
def test_the_probability_margin(seed):
    z, y = array(seed, 6, CLASSES).requires_grad_(True), data(seed)[1]
    with attacked("pma", net(), data(seed)[0]) as (chosen, _):
        objective = chosen.objective("margin", y)
    values = objective(z)
    assert bool((values.abs() <= 1).all())
    assert torch.equal(values > 0, z.argmax(1) != y)
    (slope,) = torch.autograd.grad(values.sum(), z)
    assert torch.allclose(slope.sum(1), torch.zeros(6, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(objective(z + 5), values)


@pytest.mark.parametrize("standing", [0, 1, 6])
def test_pma_breaks_each_image_once_and_stays_in_ball_and_box(standing):
    x, _ = data(7)
    network = net(7)
    with torch.no_grad():
        y = network.eval()(x).argmax(1)
    y[standing:] = (y[standing:] + 1) % CLASSES
    with attacked("pma", network, x, {"steps": 6}) as (chosen, oracle):
        noise = CounterNoise(0, "test", images=torch.arange(6), dtype=torch.float64)
        answer = chosen.run(oracle, x, y, noise)
        sizes = [chosen.step_size(i) for i in range(6)]
    assert bool(((answer - x).abs() <= 8 / 255 + 1e-12).all())
    assert 0 <= answer.min() <= answer.max() <= 1
    assert torch.equal(answer[standing:], x[standing:])
    assert sizes[1] == sizes[4] == pytest.approx(16 / 255)
    assert oracle.forwards <= 6 + standing * 14


@few
@given(seeds, st.floats(0.1, 10), st.floats(-5, 5))
def test_malts_order_knows_no_scale_and_shift_of_the_logits(seed, scale, shift):
    x, network = data(seed)[0], net(seed)
    with torch.no_grad():
        y = network.eval()(x).argmax(1)
    other = copy.deepcopy(network)
    with torch.no_grad():
        other[-1].weight.mul_(scale)
        other[-1].bias.mul_(scale).add_(shift)
    orders = []
    for one in (network, other):
        with attacked("malt", one, x) as (chosen, oracle):
            orders.append(chosen.target_order(oracle, x, y)[0])
    assert torch.equal(*orders)
