import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bench.audit import recall
from bench.errors import UsageError
from bench.judge import metrics, stats
from bench.seeding import numpy_stream

counts = st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), min_size=1, max_size=12)


def split(drawn):
    n = np.array([size for size, _ in drawn])
    return n, np.array([round(size * share) for size, share in drawn])


def law(largest, ratio, classes):
    return np.array([int(largest * ratio ** (-c / (classes - 1))) for c in range(classes)])


# -------------------------------------------------------------------------------------------- against others


@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_wilson_equal_to_scipy(n, share, level):
    k = round(n * share)
    ours = stats.one_class(n, k, level)
    theirs = scipy_stats.binomtest(k, n).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.low <= ours.value <= ours.high


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.sampled_from([0.9, 0.95]))
@settings(max_examples=40, deadline=None)
def test_over_seeds_equal_to_scipy(values, level):
    ours = stats.over_seeds(values, level, bounds=(-np.inf, np.inf))
    error = scipy_stats.sem(values)
    if error == 0:
        assert ours.low == ours.high == pytest.approx(np.mean(values))
        return
    low, high = scipy_stats.t.interval(level, len(values) - 1, np.mean(values), error)
    assert (ours.value, ours.low, ours.high) == pytest.approx((np.mean(values), low, high))
    assert ours.kind == "seeds"


@given(st.integers(1, 40), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_worst_of_one_class_is_clopper_pearson(n, share):
    k = round(n * share)
    theirs = scipy_stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    _, low, high = stats.worst_class([n], [k])
    assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(st.integers(1, 12), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_variance_never_understates_on_average(n, p):
    """Brute force over every k: the expectation of v is p(1-p)/n at p = 1/2 and no less anywhere."""
    k = np.arange(n + 1)
    # written out: SciPy's own overflows for a p next to zero
    chance = np.array([math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)])
    expected = (chance * recall.variance(np.full(n + 1, n), k)).sum()
    assert expected >= p * (1 - p) / n - 1e-12
    at_half = (scipy_stats.binom.pmf(k, n, 0.5) * recall.variance(np.full(n + 1, n), k)).sum()
    assert at_half == pytest.approx(0.25 / n)


def test_variance_of_large_classes_is_the_plain_one():
    assert float(recall.variance(10_000, 3_000)) == pytest.approx(0.3 * 0.7 / 10_000, rel=1e-3)


def test_standard_errors_printed_for_the_papers_test_sets():
    """The audit's table of sampling errors: balanced and standard, p = 0.75 and 0.35."""
    printed = {
        10: (0.88, 0.96, 0.68, 0.75),
        20: (1.13, 1.25, 0.74, 0.82),
        50: (1.63, 1.79, 0.82, 0.90),
        100: (2.17, 2.39, 0.87, 0.96),
    }
    for ratio, errors in printed.items():
        n = law(1000, ratio, 10)
        for (name, p), error in zip(
            [("balanced", 0.75), ("balanced", 0.35), ("standard", 0.75), ("standard", 0.35)], errors, strict=True
        ):
            exact = np.sqrt((metrics.weights(name, n) ** 2 * p * (1 - p) / n).sum())
            assert 100 * exact == pytest.approx(error, abs=0.006)
            assert float(stats.standard_error(name, n, p * n)) == pytest.approx(exact, rel=0.06)


# ------------------------------------------------------------------------------------------------- properties


@given(counts, st.sampled_from([0.5, 0.95]))
@settings(max_examples=60, deadline=None)
def test_intervals_hold_their_value_and_stay_in_range(drawn, level):
    n, k = split(drawn)
    for name in metrics.METRICS:
        if name == "tail" and len(n) < 2:
            continue
        interval = stats.sampling(name, n, k, level)
        assert 0 <= interval.low <= interval.value <= interval.high <= 1
        assert interval.value == pytest.approx(float(metrics.metric(name, n, k)))
        assert (interval.kind, interval.level) == ("sampling", level)
        assert interval.low < interval.high  # nothing is certain, whatever the counts


@given(counts)
@settings(max_examples=30, deadline=None)
def test_a_higher_level_is_wider_and_order_of_classes_does_not_matter(drawn):
    n, k = split(drawn)
    for name in ("balanced", "standard", "worst-class"):
        narrow, wide = stats.sampling(name, n, k, 0.8), stats.sampling(name, n, k, 0.99)
        assert wide.low <= narrow.low
        assert narrow.high <= wide.high
        turned = stats.sampling(name, n[::-1], k[::-1], 0.8)
        assert (turned.low, turned.high) == pytest.approx((narrow.low, narrow.high))


def test_more_images_give_a_narrower_interval():
    widths = [stats.sampling("balanced", [size] * 5, [size // 2] * 5).margin for size in (10, 40, 160)]
    assert widths[0] > 1.8 * widths[1] > 3 * widths[2]


def test_one_seed_has_no_interval_over_seeds():
    assert stats.over_seeds([0.5]) is None
    assert stats.over_seeds([]) is None
    estimate = stats.estimate("balanced", [[10, 10]], [[5, 6]])
    assert estimate.seeds is None
    assert estimate.sampling.kind == "sampling"


def test_estimate_keeps_both_uncertainties_apart():
    n, k = [[100, 50], [100, 50], [100, 50]], [[80, 20], [82, 22], [78, 18]]
    three = stats.estimate("balanced", n, k)
    one = stats.estimate("balanced", n[:1], k[:1])
    assert three.value == pytest.approx(0.6)
    # seeds see the same images: three of them do not make the test set larger
    assert three.sampling.margin == pytest.approx(one.sampling.margin, rel=0.05)
    values = [float(metrics.metric("balanced", a, b)) for a, b in zip(n, k, strict=True)]
    assert three.seeds == stats.over_seeds(values)
    assert three.count == 3


@pytest.mark.parametrize("name", metrics.METRICS)
def test_estimate_of_one_seed_is_the_plain_interval(name):
    plain, estimate = stats.sampling(name, [30, 20, 5], [20, 10, 1]), stats.estimate(name, [[30, 20, 5]], [[20, 10, 1]])
    assert (estimate.sampling.low, estimate.sampling.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1])
def test_an_impossible_level_is_refused(level):
    with pytest.raises(UsageError, match="coverage"):
        stats.sampling("balanced", [5, 5], [1, 2], level)
    with pytest.raises(UsageError, match="coverage"):
        stats.over_seeds([0.1, 0.2], level)


def test_bootstrap_is_reproducible_and_touches_no_global_generator():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - looked at, not drawn from

    def gap(n, k):
        recall = metrics.recalls(n, k)
        return recall.max(axis=-1) - recall.min(axis=-1)

    first, again = (stats.sampling(gap, [50, 20, 10], [40, 10, 2]) for _ in range(2))
    assert first == again
    assert first != stats.bootstrap(gap, [50, 20, 10], [40, 10, 2], seed=1)
    assert first.method == "stratified bootstrap"
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_bootstrap_of_the_balanced_accuracy_agrees_with_the_closed_form():
    n, k = np.array([100, 80, 60]), np.array([70, 40, 20])
    closed = stats.sampling("balanced", n, k)
    drawn = stats.sampling(lambda a, b: metrics.metric("balanced", a, b), n, k)
    assert (drawn.low, drawn.high) == pytest.approx((closed.low, closed.high), abs=0.01)


# --------------------------------------------------------------------------------------------------- coverage

SETS = {
    "IR 10": law(1000, 10, 10),
    "IR 100": law(1000, 100, 10),
    "100 classes, IR 100": law(100, 100, 100),
    "digits": law(36, 10, 10),
    "one image each": np.ones(10, int),
}
RATES = {
    "equal": lambda c: np.full(c, 0.5),
    "falling": lambda c: np.linspace(0.9, 0.1, c),
    "robust": lambda c: np.linspace(0.6, 0.02, c),
    "solved": lambda c: np.full(c, 0.97),
}


def coverage(name, n, p, draws=3000):
    k = numpy_stream(0, "coverage", name).binomial(n, p, size=(draws, len(n)))
    sizes = np.broadcast_to(n, k.shape)
    if name == "worst-class":
        _, low, high = stats.worst_class(sizes, k)
        true = p.min()
    else:
        _, low, high = stats.weighted(name, sizes, k)
        true = (metrics.weights(name, n) * p).sum()
    return float(((low <= true) & (true <= high)).mean())


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("size", SETS)
def test_coverage_of_the_sampling_intervals(size, rates):
    """At least the nominal 95%, less 2 points for the normal approximation and the simulation's own error."""
    n = SETS[size]
    for name in ("balanced", "standard", "worst-class"):
        assert coverage(name, n, RATES[rates](len(n))) > 0.93, name


def test_coverage_is_not_bought_by_width_where_classes_are_large():
    assert coverage("balanced", SETS["IR 10"], RATES["equal"](10)) < 0.965


def test_the_plain_normal_interval_would_fail():
    """Why the variance is adjusted: with k(n-k)/n^3, a test set with one image a class has no error at all."""
    n, p = np.full(10, 2), np.linspace(0.9, 0.1, 10)
    k = numpy_stream(0, "plain").binomial(n, p, size=(3000, 10))
    half = 1.96 * np.sqrt((k * (n - k) / n**3).sum(axis=1)) / 10
    assert (np.abs(k.mean(axis=1) / 2 - p.mean()) <= half).mean() < 0.85


def test_the_percentile_bootstrap_of_the_worst_class_would_fail():
    """Why the worst class has bounds of its own: the bootstrap of a minimum misses when classes are equally hard."""
    n, p = np.full(10, 100), 0.3
    drawn = numpy_stream(0, "minimum").binomial(n, p, size=(60, 10))
    held = [stats.bootstrap(lambda a, b: metrics.recalls(a, b).min(axis=-1), n, k, draws=500) for k in drawn]
    assert np.mean([interval.low <= p <= interval.high for interval in held]) < 0.8
