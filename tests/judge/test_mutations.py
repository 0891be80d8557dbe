"""Deliberately wrong formulas: each must make the check named beside it fail, and the true one must pass.

A mutation replaces a piece of a module's source; the module is then executed under a name of its own. A piece that is
no longer there is an error, so the list cannot fall behind the code.
"""

import importlib
import inspect
import sys
import types
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats as scipy_stats


def check_balanced(m):
    assert float(m.metric("balanced", [10, 2, 0, 4], [5, 2, 0, 1])) == pytest.approx((0.5 + 1 + 0.25) / 3)


def check_standard(m):
    assert float(m.metric("standard", [10, 2, 4], [5, 2, 1])) == pytest.approx(0.5)


def check_tail(m):
    assert float(m.metric("tail", [1, 1, 1, 1, 1], [1, 1, 0, 0, 1])) == pytest.approx(0.5)
    assert float(m.metric("head", [1, 1, 1, 1, 1], [1, 1, 0, 0, 0])) == pytest.approx(2 / 3)


def check_worst(m):
    assert float(m.metric("worst", [10, 0, 4], [5, 0, 1])) == 0.25


def check_wilson(m):
    low, high = m.wilson([20, 7], [3, 7], m.two_sided_z(0.95))
    for i, (n, k) in enumerate([(20, 3), (7, 7)]):
        wanted = scipy_stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert (low[i], high[i]) == pytest.approx((wanted.low, wanted.high))


def check_variance(m):
    n, k = 6, np.arange(7)
    expected = (scipy_stats.binom.pmf(k, n, 0.5) * m.variance(np.full(7, n), k)).sum()
    assert expected == pytest.approx(0.25 / n)
    assert float(m.variance(10_000, 3_000)) == pytest.approx(0.21 / 10_000, rel=1e-3)


def check_error(m):
    n, k = np.array([400, 100]), np.array([200, 50])
    assert float(m.standard_error("balanced", n, k)) == pytest.approx(0.5 * np.sqrt(0.25 / 400 + 0.25 / 100), rel=0.01)


def check_interval(m):
    value, low, high = m.weighted("balanced", [400, 100], [200, 50])
    half = 1.96 * 0.5 * np.sqrt(0.25 / 400 + 0.25 / 100)
    assert (float(low), float(high)) == pytest.approx((value - half, value + half), rel=0.01)


def check_worst_bounds(m):
    one = scipy_stats.binomtest(4, 20).proportion_ci(0.95, method="exact")
    _, low, high = m.worst_class([20], [4])
    assert (float(low), float(high)) == pytest.approx((one.low, one.high), abs=1e-9)
    # ten equally hard classes: the smallest observed recall lies far below the true one
    _, _, high = m.worst_class([100] * 10, [20] + [30] * 9)
    assert float(high) > 0.3


def check_seeds(m):
    values = [0.31, 0.35, 0.36]
    ours = m.over_seeds(values)
    low, high = scipy_stats.t.interval(0.95, 2, np.mean(values), scipy_stats.sem(values))
    assert (ours.low, ours.high) == pytest.approx((low, high))
    assert m.over_seeds([0.3]) is None


def check_estimate(m):
    n, k = [[100, 50]] * 4, [[80, 20]] * 4
    assert m.estimate("balanced", n, k).sampling.margin == pytest.approx(
        m.sampling("balanced", [100, 50], [80, 20]).margin)  # fmt: skip


def check_bootstrap(m):
    interval = m.bootstrap(lambda n, k: (k / n).mean(axis=-1), [100, 50], [100, 50])
    assert 0.9 < interval.low < 1  # all correct is not certain
    interval = m.bootstrap(lambda n, k: (k / n).mean(axis=-1), [400], [200])
    assert (interval.low, interval.high) == pytest.approx((0.451, 0.549), abs=0.006)


def bits(m, correct, label):
    return m.Bits(np.arange(len(label)), np.asarray(label), np.asarray(correct, bool))


def check_difference(m):
    label = np.array([0] * 8 + [1] * 2)
    a, b = bits(m, [1] * 8 + [0, 1], label), bits(m, [1] * 4 + [0] * 4 + [0, 0], label)
    assert m.compare([(a, b)], draws=200).difference == pytest.approx((0.5 + 0.5) / 2)
    a, b = bits(m, [1] * 8 + [0, 0], label), bits(m, [0] * 10, label)
    assert m.compare([(a, b)], draws=200).difference == pytest.approx(0.5)  # by class, not by image (0.8)


def check_paired_error(m):
    label = np.repeat([0, 1], 100)
    a, b = bits(m, np.arange(200) % 4 > 0, label), bits(m, np.arange(200) % 4 < 3, label)
    # a quarter right only in A, a quarter only in B: variance 1/2 an image
    assert m.compare([(a, b)]).error == pytest.approx(0.5 * np.sqrt(2 * 0.5 / 100), rel=0.05)


def check_small_classes(m):
    label = np.arange(6)
    a, b = bits(m, [1, 0, 1, 0, 1, 1], label), bits(m, [0, 1, 1, 0, 1, 1], label)
    assert m.compare([(a, b)]).error == pytest.approx(np.sqrt(6 * 1 / 3) / 6, rel=0.25)
    same = m.compare([(b, b)], draws=5000).images
    assert same.low < 0 < same.high  # that few images do not prove two networks equal


def check_spread(m):
    """Half of the images disagree, either way: the mean of the drawn variances over all samples is 1/2 an image."""
    for n in (1, 2):
        mean = 0.0
        for drawn in np.ndindex(*(3,) * n):
            share = np.stack([(np.array(drawn) - 1) / n, np.full(n, 1 / n)], axis=1)
            chance = np.prod([(0.25, 0.5, 0.25)[i] for i in drawn])
            mean += chance * m._drawn(share, 0.5, 20_000, np.random.default_rng(0)).var()
        assert mean == pytest.approx(0.5 / n, rel=0.03)


def check_pooling(m):
    label = np.repeat([0, 1], [40, 20])
    pair = bits(m, np.arange(60) % 3 > 0, label), bits(m, np.arange(60) % 2 > 0, label)
    one, four = m.compare([pair]), m.compare([pair] * 4)
    assert four.error == pytest.approx(one.error, rel=0.05)
    assert four.difference == pytest.approx(one.difference)


def check_p_value(m):
    label = np.repeat([0, 1], 100)
    a, b = bits(m, np.arange(200) % 100 < 56, label), bits(m, np.arange(200) % 100 >= 50, label)
    # equal classes: the images that disagree, 100 against 88 of them, are McNemar's
    assert m.compare([(a, b)], draws=20000).p_images == pytest.approx(float(m.mcnemar(100, 88)), abs=0.03)


def check_few(m):
    """One image that only A gets right is a coin's throw; five are five."""
    label = np.repeat([0, 1], [1000, 500])
    for k, p in ((1, 1.0), (2, 0.5), (5, 0.0625)):
        a, b = bits(m, np.arange(1500) < 400, label), bits(m, (np.arange(1500) >= k) & (np.arange(1500) < 400), label)
        assert m.compare([(a, b)]).p_images == pytest.approx(p, abs=0.02)


def check_one_count_decides(m):
    """The interval keeps clear of 0 exactly where p is below 0.05, to the last draw."""
    below = np.sort(np.concatenate([np.full(249, -1.0), np.full(9751, 1.0)]))
    for more, clear in ((0, True), (1, False)):
        moved = np.sort(np.concatenate([below[:249], np.full(more, -1.0), np.full(9751 - more, 1.0)]))
        low, _, p = m._Melded(moved, moved + 2, 0.0).read(0.5, 0.95)
        assert (low > 0, p < 0.05) == (clear, clear)


def check_mcnemar(m):
    assert float(m.mcnemar(9, 2)) == pytest.approx(scipy_stats.binomtest(9, 11).pvalue)
    assert float(m.mcnemar(0, 0)) == 1


def check_t_test(m):
    values = np.array([0.02, 0.05, 0.01])
    assert m._t_test(values) == pytest.approx(scipy_stats.ttest_1samp(values, 0).pvalue)


def check_both_sources(m):
    label = np.repeat([0, 1], 100)
    half = bits(m, np.arange(200) % 2, label)
    pairs = [(bits(m, np.ones(200), label), half), (bits(m, np.arange(200) % 2 == 0, label), half)]
    assert m.compare(pairs).verdict() == "not distinguishable"


def check_holm(m):
    assert m.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def check_images_needed(m):
    fake = types.SimpleNamespace(size=100, error=0.02, one=0.0, per_seed=(0.0,))
    assert m.images_needed(fake, 0.02) == int(np.ceil(100 * (1.959964 + 0.841621) ** 2))
    fake.one = 0.01
    times = m.images_needed(fake, 0.02) / 100
    assert (1.959964 + 0.841621) * 0.02 / np.sqrt(times) + 0.01 / times == pytest.approx(0.02, rel=1e-3)


def check_seeds_needed(m):
    fake = types.SimpleNamespace(per_seed=(-0.01, 0.01, 0.0))
    # spread 0.01, gap 0.01: exact power of the t test reaches 80% at 10 seeds
    assert m.seeds_needed(fake, 0.01) in (10, 11)


@dataclass(frozen=True)
class Mutation:
    module: str
    old: str
    new: str
    check: object

    def __str__(self):
        return f"{self.module}: {self.old.strip()[:40]} -> {self.new.strip()[:40]}"


MUTATIONS = [
    Mutation("metrics", '"balanced": lambda n: np.asarray(np.asarray(n) > 0, dtype=float)',
             '"balanced": lambda n: np.asarray(np.asarray(n) >= 0, dtype=float)', check_balanced),
    Mutation("metrics", '"standard": lambda n: np.asarray(n, dtype=float)',
             '"standard": lambda n: np.asarray(np.asarray(n) > 0, dtype=float)', check_standard),
    Mutation("metrics", ">= classes - classes // 2", ">= classes // 2", check_tail),
    Mutation("metrics", ">= classes - classes // 2", "> classes - classes // 2", check_tail),
    Mutation("metrics", "np.where(np.isnan(recall), np.inf, recall).min", "np.nan_to_num(recall).min", check_worst),
    Mutation("metrics", "np.where(np.isnan(recall), np.inf, recall).min(axis=-1)\n        return",
             "np.nanmax(recall, axis=-1)\n        return", check_worst),
    Mutation("stats", "z * z / (2 * safe)) /", "z * z / safe) /", check_wilson),
    Mutation("stats", "z * z / (4 * safe * safe)", "z * z / (2 * safe * safe)", check_wilson),
    Mutation("stats", "special.ndtri((1 + level) / 2)", "special.ndtri(level)", check_wilson),
    Mutation("stats", "(n * n + 3 * n + 4)", "(n * n + 4 * n + 4)", check_variance),
    Mutation("stats", "(k + 1) * (n - k + 1)", "k * (n - k)", check_variance),
    Mutation("stats", "(safe * (n * n + 3 * n + 4))", "(n * n + 3 * n + 4)", check_variance),
    Mutation("stats", "(weights(name, n) ** 2 * variance", "(weights(name, n) * variance", check_error),
    Mutation("stats", "two_sided_z(level) * standard_error(name, n, correct)", "standard_error(name, n, correct)",
             check_interval),
    Mutation("stats", "1 - error / classes", "1 - error", check_worst_bounds),
    Mutation("stats", "special.betaincinv(k + 1,", "special.betaincinv(k + 2,", check_worst_bounds),
    Mutation("stats", "error = (1 - level) / 2", "error = 1 - level", check_worst_bounds),
    Mutation("stats", "special.stdtrit(len(seeds) - 1, ", "special.stdtrit(len(seeds), ", check_seeds),
    Mutation("stats", "std(ddof=1)", "std(ddof=0)", check_seeds),
    Mutation("stats", "/ math.sqrt(len(seeds))", "/ len(seeds)", check_seeds),
    Mutation("stats", "if len(seeds) < 2", "if len(seeds) < 1", check_seeds),
    Mutation("stats", "n2.mean(axis=0)", "n2.sum(axis=0)", check_estimate),
    Mutation("stats", "rate = (k + 0.5) / (n + 1)", "rate = k / n", check_bootstrap),
    Mutation("stats", "[tail, 1 - tail]", "[2 * tail, 1 - 2 * tail]", check_bootstrap),
    Mutation("paired", "mine = a.label == label\n    return", "mine = a.label >= 0\n    return", check_difference),
    Mutation("paired", "a.correct[mine].astype(float) - b.correct[mine])) if",
             "b.correct[mine].astype(float) - a.correct[mine])) if", check_difference),
    Mutation("paired", "/ len(labels) for", "/ math.sqrt(len(labels)) for", check_paired_error),
    Mutation("paired", "rng.standard_gamma(counts,", "rng.standard_gamma(4 * counts,", check_paired_error),
    Mutation("paired", "math.sqrt((n + 1) ** 2 * (n + 2) / (n * (n * n + n + 1)))", "1.0", check_spread),
    Mutation("paired", "[disagreement / 2, 1 - disagreement, disagreement / 2]", "[0, 1, 0]", check_spread),
    Mutation("paired", "min(1.0, 2 * (beyond + 1)", "min(1.0, 1 * (beyond + 1)", check_p_value),
    Mutation("paired", "drawn - more[0]", "drawn", check_few),
    Mutation("paired", "(seen**2).sum() / seen.sum()", "3 * (seen**2).sum() / seen.sum()", check_few),
    Mutation("paired", "share[:, 0] if (np.abs", "share[:, 1] if (np.abs", check_few),
    Mutation("paired", "* (draws + 1)) - 2", "* (draws + 1)) - 1", check_one_count_decides),
    Mutation("paired", "1.0 / (having * max(mine.sum(), 1))", "1.0 / max(mine.sum(), 1)", check_pooling),
    Mutation("paired", "np.unique(np.concatenate(index), return_inverse=True)",
             "np.unique(np.arange(len(np.concatenate(index))), return_inverse=True)", check_pooling),
    Mutation("paired", "np.minimum(1.0, 2 * special.bdtr", "np.minimum(1.0, special.bdtr", check_mcnemar),
    Mutation("paired", "only_a + only_b, 0.5", "only_a + only_b + 1, 0.5", check_mcnemar),
    Mutation("paired", "special.stdtr(len(values) - 1, -abs", "special.stdtr(len(values), -abs", check_t_test),
    Mutation("paired", "max(self.p_images, self.p_seeds)", "min(self.p_images, self.p_seeds)", check_both_sources),
    Mutation("paired", "np.arange(len(p), 0, -1)", "len(p)", check_holm),
    Mutation("paired", "np.maximum.accumulate(scaled)", "scaled", check_holm),
    Mutation("paired", "comparison.size * root**2", "comparison.size * root", check_images_needed),
    Mutation("paired", "4 * comparison.one", "comparison.one", check_images_needed),
    Mutation("paired", "float(special.ndtri(power))) * comparison", "0.0) * comparison", check_images_needed),
    Mutation("paired", "special.stdtrit(n - 1, power)", "0.0", check_seeds_needed),
]  # fmt: skip


def execute(module, old=None, new=None):
    """The module from its source, with one piece replaced, under a name of its own."""
    real = importlib.import_module(f"bench.judge.{module}")
    source = inspect.getsource(real)
    if old is not None:
        assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {module}.py"
        source = source.replace(old, new)
    name = f"mutated_{module}"
    copy = types.ModuleType(name)
    sys.modules[name] = copy  # dataclasses look their module up
    try:
        exec(compile(source, f"<{name}>", "exec"), copy.__dict__)
    finally:
        del sys.modules[name]
    return copy


@pytest.mark.parametrize("check", sorted({(m.module, m.check.__name__) for m in MUTATIONS}), ids="-".join)
def test_the_true_formula_passes(check):
    module, name = check
    globals()[name](execute(module))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_wrong_formula_is_noticed(mutation):
    mutated = execute(mutation.module, mutation.old, mutation.new)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a wrong formula may well divide by zero on its way
        with pytest.raises(AssertionError):
            mutation.check(mutated)
