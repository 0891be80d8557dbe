"""Each formula of the judge at hand-made values that a wrong factor, sign, corner or order would change.

`tox -e mutation` makes such wrong formulas, all that it can think of, and says which of them no test notices.
"""

import types

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.audit import recall
from bench.judge import metrics, paired, stats
from bench.judge.pairs import needed


def test_balanced():
    assert float(metrics.metric("balanced", [10, 2, 0, 4], [5, 2, 0, 1])) == pytest.approx((0.5 + 1 + 0.25) / 3)


def test_standard():
    assert float(metrics.metric("standard", [10, 2, 4], [5, 2, 1])) == pytest.approx(0.5)


def test_tail():
    assert float(metrics.metric("tail", [1, 1, 1, 1, 1], [1, 1, 0, 0, 1])) == pytest.approx(0.5)
    assert float(metrics.metric("head", [1, 1, 1, 1, 1], [1, 1, 0, 0, 0])) == pytest.approx(2 / 3)


def test_worst():
    assert float(metrics.metric("worst-class", [10, 0, 4], [5, 0, 1])) == 0.25


def test_wilson():
    low, high = stats.wilson([20, 7], [3, 7], stats.two_sided_z(0.95))
    for i, (n, k) in enumerate([(20, 3), (7, 7)]):
        wanted = scipy_stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert (low[i], high[i]) == pytest.approx((wanted.low, wanted.high))


def test_variance():
    n, k = 6, np.arange(7)
    expected = (scipy_stats.binom.pmf(k, n, 0.5) * recall.variance(np.full(7, n), k)).sum()
    assert expected == pytest.approx(0.25 / n)
    assert float(recall.variance(10_000, 3_000)) == pytest.approx(0.21 / 10_000, rel=1e-3)


def test_error():
    n, k = np.array([400, 100]), np.array([200, 50])
    assert float(stats.standard_error("balanced", n, k)) == pytest.approx(
        0.5 * np.sqrt(0.25 / 400 + 0.25 / 100), rel=0.01
    )


def test_interval():
    value, low, high = stats.weighted("balanced", [400, 100], [200, 50])
    half = 1.96 * 0.5 * np.sqrt(0.25 / 400 + 0.25 / 100)
    assert (float(low), float(high)) == pytest.approx((value - half, value + half), rel=0.01)


def test_worst_bounds():
    one = scipy_stats.binomtest(4, 20).proportion_ci(0.95, method="exact")
    _, low, high = stats.worst_class([20], [4])
    assert (float(low), float(high)) == pytest.approx((one.low, one.high), abs=1e-9)
    # ten equally hard classes: the smallest observed recall lies far below the true one
    _, _, high = stats.worst_class([100] * 10, [20] + [30] * 9)
    assert float(high) > 0.3


def test_seeds():
    values = [0.31, 0.35, 0.36]
    ours = stats.over_seeds(values)
    low, high = scipy_stats.t.interval(0.95, 2, np.mean(values), scipy_stats.sem(values))
    assert (ours.low, ours.high) == pytest.approx((low, high))
    assert stats.over_seeds([0.3]) is None


def test_estimate():
    n, k = [[100, 50]] * 4, [[80, 20]] * 4
    assert stats.estimate("balanced", n, k).sampling.margin == pytest.approx(
        stats.sampling("balanced", [100, 50], [80, 20]).margin
    )


def test_bootstrap():
    interval = stats.bootstrap(lambda n, k: (k / n).mean(axis=-1), [100, 50], [100, 50])
    assert 0.9 < interval.low < 1  # all correct is not certain
    interval = stats.bootstrap(lambda n, k: (k / n).mean(axis=-1), [400], [200])
    assert (interval.low, interval.high) == pytest.approx((0.451, 0.549), abs=0.006)


def bits(correct, label):
    return paired.Bits(np.arange(len(label)), np.asarray(label), np.asarray(correct, bool))


def test_difference():
    label = np.array([0] * 8 + [1] * 2)
    a, b = bits([1] * 8 + [0, 1], label), bits([1] * 4 + [0] * 4 + [0, 0], label)
    assert paired.compare([(a, b)], draws=200).difference == pytest.approx((0.5 + 0.5) / 2)
    a, b = bits([1] * 8 + [0, 0], label), bits([0] * 10, label)
    assert paired.compare([(a, b)], draws=200).difference == pytest.approx(0.5)  # by class, not by image (0.8)


def test_paired_error():
    label = np.repeat([0, 1], 100)
    a, b = bits(np.arange(200) % 4 > 0, label), bits(np.arange(200) % 4 < 3, label)
    # a quarter right only in A, a quarter only in B: variance 1/2 an image
    assert paired.compare([(a, b)]).error == pytest.approx(0.5 * np.sqrt(2 * 0.5 / 100), rel=0.05)


def test_small_classes():
    label = np.arange(6)
    a, b = bits([1, 0, 1, 0, 1, 1], label), bits([0, 1, 1, 0, 1, 1], label)
    assert paired.compare([(a, b)]).error == pytest.approx(np.sqrt(6 * 1 / 3) / 6, rel=0.25)
    same = paired.compare([(b, b)], draws=5000).images
    assert same.low < 0 < same.high  # that few images do not prove two networks equal


def test_spread():
    """Half of the images disagree, either way: the mean of the drawn variances over all samples is 1/2 an image."""
    for n in (1, 2):
        mean = 0.0
        for drawn in np.ndindex(*(3,) * n):
            share = np.stack([(np.array(drawn) - 1) / n, np.full(n, 1 / n)], axis=1)
            chance = np.prod([(0.25, 0.5, 0.25)[i] for i in drawn])
            mean += chance * paired._drawn(share, 0.5, 20_000, np.random.default_rng(0)).var()
        assert mean == pytest.approx(0.5 / n, rel=0.03)


def test_pooling():
    label = np.repeat([0, 1], [40, 20])
    pair = bits(np.arange(60) % 3 > 0, label), bits(np.arange(60) % 2 > 0, label)
    one, four = paired.compare([pair]), paired.compare([pair] * 4)
    assert four.error == pytest.approx(one.error, rel=0.05)
    assert four.difference == pytest.approx(one.difference)


def test_p_value():
    label = np.repeat([0, 1], 100)
    a, b = bits(np.arange(200) % 100 < 56, label), bits(np.arange(200) % 100 >= 50, label)
    # equal classes: the images that disagree, 100 against 88 of them, are McNemar's
    assert paired.compare([(a, b)], draws=20000).p_images == pytest.approx(float(paired.mcnemar(100, 88)), abs=0.03)


def test_few():
    """One image that only A gets right is a coin's throw; five are five."""
    label = np.repeat([0, 1], [1000, 500])
    for k, p in ((1, 1.0), (2, 0.5), (5, 0.0625)):
        a, b = bits(np.arange(1500) < 400, label), bits((np.arange(1500) >= k) & (np.arange(1500) < 400), label)
        assert paired.compare([(a, b)]).p_images == pytest.approx(p, abs=0.02)


def test_one_count_decides():
    """The interval keeps clear of 0 exactly where p is below 0.05, to the last draw."""
    below = np.sort(np.concatenate([np.full(249, -1.0), np.full(9751, 1.0)]))
    for more, clear in ((0, True), (1, False)):
        moved = np.sort(np.concatenate([below[:249], np.full(more, -1.0), np.full(9751 - more, 1.0)]))
        low, _, p = paired._Melded(moved, moved + 2, 0.0).read(0.5, 0.95)
        assert (low > 0, p < 0.05) == (clear, clear)


def test_mcnemar():
    assert float(paired.mcnemar(9, 2)) == pytest.approx(scipy_stats.binomtest(9, 11).pvalue)
    assert float(paired.mcnemar(0, 0)) == 1


def test_t_test():
    values = np.array([0.02, 0.05, 0.01])
    assert paired.t_test(values) == pytest.approx(scipy_stats.ttest_1samp(values, 0).pvalue)


def test_both_sources():
    label = np.repeat([0, 1], 100)
    half = bits(np.arange(200) % 2, label)
    pairs = [(bits(np.ones(200), label), half), (bits(np.arange(200) % 2 == 0, label), half)]
    assert paired.compare(pairs).verdict() == "not distinguishable"


def test_holm():
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_images_needed():
    fake = types.SimpleNamespace(size=100, error=0.02, one=0.0, per_seed=(0.0,))
    assert needed.images_needed(fake, 0.02) == int(np.ceil(100 * (1.959964 + 0.841621) ** 2))
    fake.one = 0.01
    times = needed.images_needed(fake, 0.02) / 100
    assert (1.959964 + 0.841621) * 0.02 / np.sqrt(times) + 0.01 / times == pytest.approx(0.02, rel=1e-3)


def test_seeds_needed():
    fake = types.SimpleNamespace(per_seed=(-0.01, 0.01, 0.0))
    # spread 0.01, gap 0.01: exact power of the t test reaches 80% at 10 seeds
    assert needed.seeds_needed(fake, 0.01) in (10, 11)
