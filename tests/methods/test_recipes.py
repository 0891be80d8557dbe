"""What the two recipes of a method switch, and when: schedules, stages, heads, memory."""

import dataclasses

import pytest
import torch
from torch import nn

from bench.api import Context
from bench.cli.shown.explain import explain_method
from bench.config import Recipe, ThreatModel, make
from bench.engine.gradients.inner import ascend, plain_gradient
from bench.engine.settled import settle
from bench.errors import UsageError
from bench.recipe.schedules import compounding
from bench.registry import registry
from bench.seeding import StreamNoise, torch_stream
from bench.testing import loss, step
from bench.testing.contract.loop import run, tiny_cell
from bench.testing.evaluate import build_head


def method(name, recipe="paper", epochs=None, **settings):
    cls = registry("methods").get(name)
    resolved, hparams, _ = settle(cls, settings, recipe, epochs)
    return cls(make(cls.Hparams, dict(hparams), name)), resolved


def context(recipe, epoch=0, counts=(40, 20, 10)):
    noise = StreamNoise(torch_stream(0, "noise"), torch.float32)
    return Context(torch.tensor(counts), recipe, ThreatModel(), noise, ascend, plain_gradient, epoch=epoch)


@pytest.mark.parametrize("name", registry("methods").names())
def test_paper_recipe_is_the_same_for_all_but_what_they_always_have(name):
    always = registry("methods").get(name).always
    assert method(name)[1] == Recipe(**always, **({"full_epochs": always["epochs"]} if "epochs" in always else {}))


def test_official_quirks_are_off_under_paper():
    assert not method("taet")[0].hp.extra_clean_forward
    assert method("taet", "official")[0].hp.extra_clean_forward
    assert not method("adt")[0].hp.accumulate
    assert method("adt", "official")[0].hp.accumulate
    assert method("at")[0].hp.attack_mode == "eval"
    assert method("at", "official")[0].hp.attack_mode == "train"
    assert method("he")[0].hp.deploy_scaled
    assert not method("he", "official")[0].hp.deploy_scaled


def test_robal_learning_rate_compounds_in_the_official_recipe():
    _, recipe = method("robal", "official")
    assert [recipe.lr_at(e) for e in (58, 59, 60, 61)] == pytest.approx([1e-1, 1e-2, 1e-3, 1e-4])
    assert recipe.lr_at(74) == pytest.approx(0.01 * recipe.lr_at(73))
    assert method("robal")[1].lr_at(80) == pytest.approx(1e-2)


def test_the_released_focal_run_warms_up_to_a_fifth_of_its_rate():
    _, recipe = method("focal", "official")
    assert [recipe.lr_at(e) for e in (0, 1, 2, 58)] == pytest.approx([0.04, 0.024, 0.0192, 0.0192])


@pytest.mark.parametrize("settings", [{}, {"warmup": 5}])
def test_the_recipe_of_robal_and_the_schedule_of_its_card_are_one(settings):
    recipe = dataclasses.replace(method("robal", "official")[1], **settings)
    card = [compounding(e, 0.1, [(60, 0.1), (75, 0.01)], **settings) for e in range(1, 81)]
    assert [recipe.lr_at(e) for e in range(80)] == pytest.approx(card, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("trades", 75),
        ("mart", 75),
        ("he", 75),
        ("adt", 75),
        ("at-bsl", 75),
        ("gairat", 60),
        ("dafa", 100),
        ("robal", 60),
    ],
)
def test_scripts_that_count_epochs_from_one_drop_the_rate_in_that_epoch(name, first):
    _, recipe = method(name, "official")
    before, after = recipe.lr_at(first - 2), recipe.lr_at(first - 1)
    assert after == pytest.approx(0.1 * before)


@pytest.mark.parametrize(("epochs", "switch"), [(100, 40), (10, 4), (3, 2), (1, 1)])
def test_taet_switches_in_proportion(epochs, switch):
    taet, recipe = method("taet", epochs=epochs)
    phases = [taet.phase(context(recipe, epoch)) for epoch in range(epochs)]
    assert phases == ["natural"] * switch + ["adversarial"] * (epochs - switch)
    assert taet.shared_prefix(recipe) == switch
    assert method("taet", "official", epochs)[0].shared_prefix(recipe) == 0


def test_taet_costs_what_its_stages_cost():
    taet, recipe = method("taet")
    assert taet.passes(recipe) == (7.0, 7.0)
    official, recipe = method("taet", "official")
    assert official.passes(recipe) == (8.0, 7.0)


def test_taet_without_clean_epochs_is_harl_bit_for_bit():
    def weights(name, **settings):
        spec, made = tiny_cell(registry("methods").get(name), settings)
        return run(spec, made, 16)

    one, two = weights("harl"), weights("taet", ce_epochs=0)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not all(torch.equal(one[key], value) for key, value in weights("taet", ce_epochs=60).items())


def test_two_stage_bsl_is_at_bsl_in_the_stages_and_at_the_cost_of_taet():
    y, adv = torch.tensor([0, 1, 2]), torch.eye(3).double()
    given = {"adv": adv, "y": y, "class_counts": (30, 20, 1)}
    for epoch in (0, 39, 40, 99):
        assert loss("two-stage-bsl", epoch=epoch, **given).loss == loss("at-bsl", epoch=epoch, **given).loss
    for epochs in (100, 10, 3):
        ours, recipe = method("two-stage-bsl", epochs=epochs)
        taet, _ = method("taet", epochs=epochs)
        assert ours.passes(recipe) == pytest.approx(taet.passes(recipe))
        for epoch in range(epochs):
            assert ours.phase(context(recipe, epoch)) == taet.phase(context(recipe, epoch))


def test_gairat_weighs_from_its_begin_epoch_on():
    y, adv = torch.tensor([0, 1, 2]), torch.eye(3).double()
    given = {"adv": adv, "y": y, "class_counts": (3, 2, 1), "extras": {"kappa": torch.tensor([0, 5, 10])}}
    assert "weights" not in loss("gairat", epoch=58, **given).extras
    assert "weights" in loss("gairat", epoch=59, **given).extras


def test_gairat_counts_correct_predictions_before_each_step():
    with torch.random.fork_rng():
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    x, y = torch.full((2, 3, 2, 2), 0.5), torch.tensor([0, 1])
    result = step("gairat", model=net, x=x, y=y, class_counts=(2, 1, 1), hparams={"steps": 7}, epoch=99)
    assert result.extras["kappa"].tolist() == [7, 0]


@pytest.mark.parametrize("name", ["he", "robal"])
def test_deployed_head_is_scaled_and_back(name):
    chosen, recipe = method(name)
    head = build_head(name, 6, 3)
    net = nn.Sequential(head)
    chosen.setup(net, context(recipe))
    features = torch.randn((5, 6), generator=torch_stream(0, "f"))
    with torch.no_grad():
        plain = net(features)
        before = net[0].weight.clone()
        chosen.deploy(net, True)
        deployed = net(features)
        assert torch.equal(net[0].weight, before)
        chosen.deploy(net, False)
        assert torch.allclose(net(features), plain, atol=1e-6)
    assert float(plain.abs().max()) <= 1 + 1e-6
    prior = torch.tensor([40, 20, 10]) / 70
    shift = 0.1 * prior.log() if name == "robal" else 0
    assert torch.allclose(deployed, 10 * plain - shift, atol=1e-5)


def test_robal_head_carries_its_prior_in_the_state():
    chosen, recipe = method("robal")
    net = nn.Sequential(build_head("robal", 6, 3))
    chosen.setup(net, context(recipe))
    other = nn.Sequential(build_head("robal", 6, 3))
    other.load_state_dict(net.state_dict())
    assert torch.allclose(other[0].log_prior.exp(), torch.tensor([40, 20, 10]) / 70)


def test_robal_variants_and_overrides():
    assert method("robal", variant="R")[0].value("tau_b") == 1.5
    assert method("robal", variant="R-100")[0].value("gamma") == 1 / 16
    assert method("robal", variant="R", tau_b=0.0)[0].value("tau_b") == 0.0


def test_he_projects_its_rows_in_place():
    head = build_head("he", 6, 3)
    with torch.no_grad():
        head.weight.mul_(7)
    head(torch.ones(1, 6))
    assert torch.allclose(head.weight.norm(dim=1), torch.ones(3), atol=1e-6)


def test_reat_counts_predictions_for_the_next_epoch():
    reat, recipe = method("reat")
    now = context(recipe)
    reat.setup(nn.Identity(), now)
    assert reat.previous.tolist() == [40, 20, 10]

    class Given(nn.Module):
        def features(self, x):
            return x

        def head(self, x):
            return x

    logits = torch.tensor([[0.0, 9, 0], [0, 9, 0], [9, 0, 0]], requires_grad=True)
    reat.loss(Given(), logits, logits, torch.tensor([0, 1, 2]), now)
    reat.on_epoch_end(now)
    assert reat.previous.tolist() == [1, 2, 0]
    assert reat.current.tolist() == [0, 0, 0]
    weights = reat.class_weights(now, torch.float64)
    assert float(weights.sum()) == pytest.approx(3)
    assert weights[2] > weights[0] > weights[1]


def test_las_at_learns_without_touching_the_classifier():
    las, recipe = method("las-at", strategy_width=2, every=1, eps_low=2, count_high=4)
    with torch.random.fork_rng():
        net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 3))
    x = torch.rand((4, 3, 8, 8), generator=torch_stream(0, "x"))
    now = context(recipe)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    las.perturb(net, x, torch.tensor([0, 1, 2, 0]), now)
    strategy = [p.detach().clone() for p in las.network.parameters()]
    las.perturb(net, x, torch.tensor([0, 1, 2, 0]), now)
    assert any(not torch.equal(p, old) for p, old in zip(las.network.parameters(), strategy, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    policy, rewards = now.extras["policies"], now.extras["rewards"]
    assert set((policy.count.flatten()).tolist()) <= {3, 4}
    assert float(policy.eps.min() * 255) + 1e-4 >= 2
    assert float(policy.eps.max() * 255) <= 15 + 1e-4
    assert float(rewards["reward"]) == pytest.approx(sum(float(rewards[r]) for r in ("R1", "R2", "R3")))


def test_las_at_draws_from_its_distribution():
    las, recipe = method("las-at")
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.7]])).repeat(20000, 1)
    (drawn,) = las.draw([logits], context(recipe))
    assert torch.allclose(drawn.bincount(minlength=3) / 20000, torch.tensor([0.1, 0.2, 0.7]), atol=0.02)


def test_dafa_weights_follow_the_card():
    dafa, recipe = method("dafa")
    dafa.setup(nn.Identity(), context(recipe, counts=(3, 2, 1)))
    s = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    wanted = torch.ones(3)
    for i in range(3):
        for j in range(3):
            if i != j:
                wanted[i] += s[i, j] * s[j, j] if s[i, i] < s[j, j] else -s[j, i] * s[i, i]
    assert torch.allclose(dafa.radii.weighed(s, torch.ones(3, dtype=torch.bool)), wanted)
    absent = dafa.radii.weighed(s, torch.tensor([True, True, False]))
    assert float(absent[2]) == 1.0


def test_cfa_calibrates_by_class_and_not_by_batch():
    cfa, recipe = method("cfa", begin=1)
    now = context(recipe, counts=(90, 10))
    cfa.setup(nn.Identity(), now)
    cfa.radii.right, cfa.radii.seen = torch.tensor([45.0, 10.0]), torch.tensor([90.0, 10.0])
    y, like = torch.tensor([0, 1]), torch.zeros(1)
    assert cfa.radii.of(y, now, like) == 1
    cfa.on_epoch_end(now)
    now.epoch = 1
    assert torch.allclose(cfa.radii.of(y, now, like).flatten(), torch.tensor([1.0, 1.5]))
    assert torch.allclose(cfa.trade_off(y, now, like), torch.tensor([6 / 7, 9 / 10]))


def test_explanation_shows_both_recipes():
    text = explain_method("taet")
    assert "licence  none stated" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert ["eps", "8/255", "0.031"] in rows
    assert ["step", "2/255", "0.003"] in rows
    with pytest.raises(UsageError, match="unknown method 'taett'"):
        explain_method("taett")
