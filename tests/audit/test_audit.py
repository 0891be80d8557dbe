"""Audits of simulated chains: the probabilities are known, so is what the full chain gives on the very same images."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.audit import late, order, plan
from bench.audit.estimate import Counts, estimate
from bench.audit.plan import Goal
from bench.audit.run import run
from bench.judge.stats import weighted
from bench.seeding import numpy_stream

COSTS = (203.0, 1827.0, 2700.0, 5000.0)


def law(largest, ratio, classes=10):
    return np.array([int(largest * ratio ** (-c / (classes - 1))) for c in range(classes)])


class Chain:
    """A test set whose every verdict is drawn beforehand: right, stage 1, stage 2, and the late share by class."""

    def __init__(self, n, taken, *keys, right=0.8, first=0.4, second=0.88):
        rng = numpy_stream(0, "simulated audit", *keys)
        self.label = np.repeat(np.arange(len(n)), n)
        self.index = rng.permutation(100 * len(self.label))[: len(self.label)]
        u = rng.random((4, len(self.label)))
        self.clean = u[0] < right
        self.stands = [
            u[1] < first,
            u[2] < second,
            u[3] >= np.broadcast_to(taken, len(n))[self.label],
            np.ones(len(self.label), bool),
        ]
        self.asked = [np.zeros(len(self.label), int) for _ in COSTS]

    def attack(self, stage, positions):
        self.asked[stage][positions] += 1
        return self.stands[stage][positions]

    def audit(self, goal=None):
        return run(self.index, self.label, self.clean, self.label.max() + 1, COSTS, goal or Goal(), self.attack)

    def standing(self):
        return np.logical_and.reduce([self.clean, *self.stands])

    def full(self):
        whole = self.standing()
        return np.mean([whole[self.label == c].mean() for c in np.unique(self.label)])

    def passes(self):
        """(of the audit, of the full chain)."""
        standing, full = self.clean.copy(), 0.0
        for cost, stands in zip(COSTS, self.stands, strict=True):
            full += cost * standing.sum()
            standing &= stands
        return sum(cost * asked.sum() for cost, asked in zip(COSTS, self.asked, strict=True)), full


# ------------------------------------------------------------------------------------------------------- order


def test_the_order_is_the_images_own():
    index, label = np.array([7, 3, 99, 12, 5]), np.array([0, 0, 1, 0, 1])
    first, second = order.ordered(index, label, 2)
    assert sorted(np.concatenate([first, second])) == [0, 1, 2, 3, 4]
    fewer = order.ordered(index[[0, 1, 3]], label[[0, 1, 3]], 2)
    assert index[first].tolist() == index[[0, 1, 3]][fewer[0]].tolist()  # other images about change nothing
    assert fewer[1].size == 0


def test_two_networks_are_audited_on_the_same_images():
    """As far as both stand: with equal verdicts of one class the sample of another class does not matter."""
    one, other = Chain(law(400, 10), 0.0, 1), Chain(law(400, 10), 0.0, 1)
    other.stands[0] = other.stands[0] & ((other.label != 0) | (numpy_stream(0, "x").random(len(other.label)) < 0.8))
    a, b = one.audit(), other.audit()
    for c in range(1, 10):
        mine = one.label == c
        shared = (a.passed[mine] > 0) & (b.passed[mine] > 0)
        assert shared.sum() == min((a.passed[mine] > 0).sum(), (b.passed[mine] > 0).sum())


# -------------------------------------------------------------------------------------------------- late stages


@pytest.mark.parametrize(("broken", "draws"), [(0, 300), (3, 300), (10, 10)])
def test_the_late_bound_is_clopper_and_pearsons(broken, draws):
    exact = scipy_stats.binomtest(broken, draws).proportion_ci(1 - 2 * late.SPENT[0] * 0.025, method="exact")
    assert late.bounds(broken, draws, 0) == pytest.approx((exact.low, exact.high))


def test_none_of_300_is_at_most_one_per_cent():
    assert late.bounds(0, 300, 0, 0.05 / late.SPENT[0])[1] == pytest.approx(0.01, abs=1e-3)
    first = late.first_block(0.01)
    assert late.bounds(0, first, 0)[1] <= 0.01 < late.bounds(0, first - 1, 0)[1]


def test_the_error_is_spent_over_the_looks():
    assert sum(late.SPENT) == pytest.approx(1.0)
    held = []
    for i in range(400):
        rng, broken, look, first = numpy_stream(1, "looks", i), 0, 0, 80
        hits = rng.random(late.total(first, 3)) < 0.02
        while late.goes_on(broken := int(hits[: late.total(first, look)].sum()), late.total(first, look), look, 0.02):
            look += 1
        low, high = late.bounds(broken, late.total(first, look), look)
        held.append(low <= 0.02 <= high)
    assert np.mean(held) > 0.93


def test_a_break_asks_for_the_next_block():
    assert not late.goes_on(0, 100, 0, 0.05)
    assert late.goes_on(1, 100, 0, 1.0)
    assert not late.goes_on(1, 200, 1, 1.0)
    assert not late.goes_on(5, 800, 3, 0.0)  # no block is left


# --------------------------------------------------------------------------------------------------------- plan


def rates(n):
    share = np.ones(len(n))
    return plan.Rates(n, np.round(0.8 * n).astype(int), 0.4 * share, 0.88 * share, COSTS[:2])


@pytest.mark.parametrize("ratio", [1, 10, 100])
def test_a_plan_keeps_its_goal_at_the_least_cost(ratio):
    r = rates(law(1000, ratio))
    first, second = plan.allocate(r, Goal(1.1))
    assert r.audit(first, second) <= plan.allowed(r, Goal(1.1))
    assert (second <= first).all()
    assert (first <= r.clean).all()
    for c in (0, 4, 9):  # a few images moved from one class to another: no cheaper plan of the same error near
        for d in (0, 4, 9):
            other = second.copy()
            other[c] -= 10
            other[d] += 10
            if c != d and (other >= 24).all() and (other <= first).all():
                assert r.audit(first, other) >= r.audit(first, second) * 0.999


def test_goals():
    r = rates(law(1000, 10))
    wide, narrow = plan.allocate(r, Goal(1.3)), plan.allocate(r, Goal(1.02))
    assert (wide[1] <= narrow[1]).all()
    assert wide[1].sum() < narrow[1].sum()
    full = 1.96 * np.sqrt(r.full())
    assert r.audit(*plan.allocate(r, Goal(half_width=1.2 * full))) <= (1.2**2 - 1) * r.full()
    first, second = plan.allocate(r, Goal(half_width=0.9 * full))
    assert (second == r.clean).all()  # cannot be met: everything
    first, second = plan.allocate(r, Goal(budget=200.0))
    assert r.passes(first, second) == pytest.approx(200 * r.n.sum(), rel=0.02)


# ----------------------------------------------------------------------------------------------------- estimate


def test_everything_attacked_is_the_full_chain():
    for taken in (0.0, 0.3):
        chain = Chain(law(60, 10), taken, "whole")
        done = chain.audit(Goal(half_width=0.0))
        assert done.result.audit == pytest.approx((chain.full(), chain.full()))
        assert done.result.value == pytest.approx(chain.full())
        n, left = np.bincount(chain.label), np.bincount(chain.label[chain.standing()], minlength=10)
        assert done.result.sampling == pytest.approx(weighted("balanced", n, left)[1:], abs=1e-9)  # and its interval


def test_a_plan_for_a_network_that_the_tail_breaks_keeps_the_interval_it_promises():
    """Classes of few images without one that stands are not certain: a plan that took them so would do too much."""
    n = law(1000, 100)
    first = np.linspace(0.9, 0.02, 10)
    widths, costs = [], []
    for number in range(40):
        chain = Chain(n, 0.0, "tail", number, first=1.0)
        chain.stands[0] = numpy_stream(0, "hard", number).random(len(chain.label)) < first[chain.label]
        done = chain.audit()
        left = np.bincount(chain.label[chain.standing()], minlength=10)
        _, low, high = weighted("balanced", n, left)
        widths.append((done.result.sampling[1] - done.result.sampling[0]) / (high - low))
        costs.append(np.divide(*chain.passes()))
    assert 1.03 < np.mean(widths) < 1.15
    assert np.mean(costs) < 1 / 7


def test_no_image_meets_a_stage_twice_or_out_of_turn():
    chain = Chain(law(300, 10), 0.01, "turns")
    done = chain.audit()
    assert max(asked.max() for asked in chain.asked) == 1
    for stage, asked in enumerate(chain.asked):
        broken_here = done.broken & chain.clean & (done.passed == stage)
        assert (asked.astype(bool) == ((done.passed > stage) | broken_here)).all()


def test_shares_come_from_the_counts():
    n, one = np.array([100.0, 50.0]), np.array([80.0, 40.0])
    counts = Counts(
        n, one, np.array([[40, 40], [20, 20]]), np.array([[20, 30], [10, 10]]), np.array([30.0, 30.0]), np.zeros(2), 0
    )
    result = estimate(counts)
    assert result.shares == pytest.approx([0.8 * 0.5 * 0.5, 0.8 * 0.75 * 0.5])
    assert result.value == pytest.approx((0.2 + 0.3) / 2)
    assert result.audit[0] < result.value < result.audit[1]
    assert result.sampling[0] < result.audit[0]
    assert result.sampling[1] > result.audit[1]


@pytest.mark.parametrize(
    ("ratio", "taken"),
    [(1, 0.0), (10, 0.002), (10, 0.01), (100, 0.0), (100, np.linspace(0, 0.04, 10)), (100, 0.1)],
    ids=["IR 1", "IR 10, 0.2 %", "IR 10, 1 %", "IR 100", "IR 100, by class", "IR 100, 10 %"],
)
def test_coverage_and_bias(ratio, taken):
    """The full chain lies in the audit interval, the truth in the sampling interval; the mean error is small."""
    n, rounds = law(300, ratio), 40
    chains = [Chain(n, taken, ratio, i) for i in range(rounds)]
    audits = [chain.audit() for chain in chains]
    full = np.array([chain.full() for chain in chains])
    truth = np.mean(0.8 * 0.4 * 0.88 * (1 - np.broadcast_to(taken, 10)))
    inside = np.mean(
        [a.result.audit[0] - 1e-9 <= f <= a.result.audit[1] + 1e-9 for a, f in zip(audits, full, strict=True)]
    )
    covered = np.mean([a.result.sampling[0] <= truth <= a.result.sampling[1] for a in audits])
    value = np.array([a.result.value for a in audits])
    assert inside >= 0.88
    assert covered >= 0.86
    assert abs((value - full).mean()) < 0.1 * value.std() + 2.5 * (value - full).std() / np.sqrt(rounds)
    assert np.mean([a.gap for a in audits]) > 0.6 or np.max(taken) < 0.1


def test_it_is_cheaper():
    for ratio, times in ((1, 3.0), (10, 3.5), (100, 4.0)):
        chain = Chain(law(1000, ratio), 0.0, "cost", ratio)
        chain.audit()
        mine, full = chain.passes()
        assert full / mine > times


def test_the_late_share_has_no_bias_although_breaks_ask_for_more_draws():
    """Over all ends that there can be, by their exact chances: broken over draws is too low, this is q."""
    first, bound, looks = 60, 0.02, len(late.SPENT)
    for q in (0.002, 0.01, 0.02):
        paths, mean, plain, stopped = {k: scipy_stats.binom.pmf(k, first, q) for k in range(first + 1)}, 0.0, 0.0, 0.0
        for look in range(looks):
            draws, onwards = late.total(first, look), {}
            for k, chance in paths.items():
                if late.is_gap(k, draws):  # everything is attacked: that share is known, whatever it is
                    mean, plain, stopped = mean + chance * q, plain + chance * q, stopped + chance
                elif late.goes_on(k, draws, look, bound):
                    for more in range(15):
                        drawn = scipy_stats.binom.pmf(more, draws, q)
                        onwards[k + more] = onwards.get(k + more, 0.0) + chance * drawn
                else:
                    mean += chance * late.rate(k, draws, look, bound)
                    plain += chance * k / draws
                    stopped += chance
            paths = onwards
        assert stopped == pytest.approx(1, abs=1e-3)
        assert abs(mean - q) < abs(plain - q) / 3 + 1e-5
