import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bench.errors import StoreError, UsageError
from bench.judge import metrics, paired
from bench.judge.paired import Bits, compare, corrected, holm, mcnemar
from bench.judge.pairs.needed import images_needed, seeds_needed
from bench.seeding import numpy_stream


def bits(correct, label, index=None, name=""):
    label = np.asarray(label)
    return Bits(np.arange(len(label)) if index is None else np.asarray(index), label, np.asarray(correct, bool), name)


def law(largest, ratio, classes):
    return np.array([int(largest * ratio ** (-c / (classes - 1))) for c in range(classes)])


def networks(n, rate_a, rate_b, shared, rng):
    """Two networks whose verdicts on an image hang together with probability `shared`."""
    label = np.repeat(np.arange(len(n)), n)
    first = rng.random(len(label))
    second = np.where(rng.random(len(label)) < shared, first, rng.random(len(label)))
    return bits(first < rate_a[label], label), bits(second < rate_b[label], label)


# ---------------------------------------------------------------------------------------------- known answers


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_difference_is_that_of_the_balanced_accuracies(drawn):
    label, a, b = (np.array(column) for column in zip(*drawn, strict=True))
    result = compare([(bits(a, label), bits(b, label))], draws=200)
    n = np.bincount(label, minlength=4)
    balanced = [float(metrics.metric("balanced", n, np.bincount(label[x], minlength=4))) for x in (a, b)]
    assert result.difference == pytest.approx(balanced[0] - balanced[1], abs=1e-9)
    assert result.images.low <= result.difference <= result.images.high
    assert result.size == len(label)
    for test in result.classes:
        mine = label == test.label
        assert (test.n, test.only_a, test.only_b) == (mine.sum(), (a & ~b & mine).sum(), (b & ~a & mine).sum())
        assert test.difference == pytest.approx(a[mine].mean() - b[mine].mean())


@given(st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_mcnemar_equal_to_scipy(only_a, only_b):
    wanted = scipy_stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert float(mcnemar(only_a, only_b)) == pytest.approx(wanted, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_holm_by_its_definition(p):
    """Brute force: step down through the sorted p-values; the adjusted p is the smallest alpha that rejects."""
    adjusted = holm(p)
    for alpha in (0.01, 0.05, 0.2, 0.5):
        order, rejected = np.argsort(p, kind="stable"), set()
        for step, i in enumerate(order):
            if p[i] * (len(p) - step) >= alpha:
                break
            rejected.add(int(i))
        assert {i for i, q in enumerate(adjusted) if q < alpha} == rejected
    assert all(q >= x for q, x in zip(adjusted, p, strict=True))


def test_holm_of_a_known_family():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_a_clear_difference_stays_clear_in_any_family(monkeypatch):
    monkeypatch.setattr(paired, "DRAWS", 100)
    labels = np.repeat(np.arange(4), 50)
    a, b = (Bits(np.arange(200), labels, np.full(200, right)) for right in (True, False))
    one = compare([(a, b)])
    assert one.p == pytest.approx(2 / 101)
    adjusted = corrected([one] * 10)
    assert {one.verdict(p) for p in adjusted} == {"better"}
    assert 0 < max(adjusted) < 0.05
    with pytest.raises(UsageError, match=r"level 0.9999 is above 0.999"):
        compare([(a, b)], 0.9999)


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_swapping_the_two_mirrors_everything(seed):
    rng = numpy_stream(seed, "swap")
    a, b = networks(np.array([30, 20, 5]), np.array([0.8, 0.5, 0.4]), np.array([0.6, 0.5, 0.1]), 0.5, rng)
    there, back = compare([(a, b)], draws=2000), compare([(b, a)], draws=2000)
    assert there.difference == -back.difference
    assert there.p == back.p or there.difference == 0
    if there.difference:
        assert (there.images.low, there.images.high) == pytest.approx((-back.images.high, -back.images.low))
    assert [t.p for t in there.classes] == [t.p for t in back.classes]
    assert [(t.only_a, t.only_b) for t in there.classes] == [(t.only_b, t.only_a) for t in back.classes]


def test_a_network_against_itself_is_not_distinguishable():
    a, _ = networks(np.array([30, 20, 5]), np.full(3, 0.5), np.full(3, 0.5), 1.0, numpy_stream(0, "self"))
    result = compare([(a, a)])
    assert result.difference == 0
    assert result.p == 1
    assert result.verdict() == "not distinguishable"
    assert all(test.p == 1 for test in result.classes)


def test_clear_differences_are_found_either_way():
    label = np.repeat([0, 1], [60, 30])
    right, half = bits(np.ones(90), label), bits(np.arange(90) % 2, label)
    assert compare([(right, half)]).verdict() == "better"
    assert compare([(half, right)]).verdict() == "worse"
    assert compare([(right, half)]).images.low > 0.3


def test_images_in_another_order_are_other_images():
    a, b = bits([1, 0, 1], [0, 0, 1]), bits([1, 0, 1], [0, 0, 1], index=[0, 2, 5], name="at-bsl-0")
    with pytest.raises(StoreError, match=r"A and at-bsl-0 were not evaluated on the same images \(2 of 3 and 3"):
        compare([(a, b)])
    with pytest.raises(StoreError, match="same images"):
        compare([(a, bits([1, 0, 1], [0, 1, 1]))])  # same indices, other labels
    with pytest.raises(UsageError, match="at least one pair"):
        compare([])


# ------------------------------------------------------------------------------------------------ several seeds


def pairs(count, rate_a, rate_b, n=(60, 30, 10), shared=0.5):
    return [networks(np.array(n), rate_a, rate_b, shared, numpy_stream(0, "pairs", s)) for s in range(count)]


def test_seeds_are_averaged_and_images_counted_once():
    three = pairs(3, np.array([0.9, 0.8, 0.7]), np.array([0.7, 0.6, 0.4]))
    result = compare(three)
    assert result.per_seed == pytest.approx([compare([pair]).difference for pair in three])
    assert result.difference == pytest.approx(np.mean(result.per_seed))
    assert result.size == 100
    t = scipy_stats.ttest_1samp(result.per_seed, 0.0)
    assert result.p_seeds == pytest.approx(t.pvalue)
    assert (result.seeds.low, result.seeds.high) == pytest.approx(tuple(t.confidence_interval()))
    assert result.p == max(result.p_images, result.p_seeds)


def test_the_same_seed_three_times_is_no_more_images():
    """Pooling identical seeds must not narrow the interval over images."""
    (pair,) = pairs(1, np.array([0.9, 0.8, 0.7]), np.array([0.7, 0.6, 0.4]))
    one, three = compare([pair]), compare([pair] * 3)
    assert three.difference == pytest.approx(one.difference)
    assert three.error == pytest.approx(one.error, rel=0.05)
    assert (three.images.low, three.images.high) == pytest.approx((one.images.low, one.images.high), abs=0.01)
    assert [t.p for t in three.classes] == [t.p for t in one.classes]


def test_seeds_with_other_images_count_all_of_them():
    a, b = pairs(1, np.array([0.9, 0.8, 0.7]), np.array([0.7, 0.6, 0.4]))[0]
    far = [Bits(x.index + 1000, x.label, x.correct) for x in (a, b)]
    both, one = compare([(a, b), tuple(far)]), compare([(a, b)])
    assert both.size == 2 * one.size
    assert both.error == pytest.approx(one.error / np.sqrt(2), rel=0.1)


def test_a_pooled_verdict_needs_the_seeds_too():
    """Certain on these images, but the seeds disagree: not distinguishable."""
    label = np.repeat([0, 1], 100)
    half = bits(np.arange(200) % 2, label)
    result = compare([(bits(np.ones(200), label), half), (bits(np.arange(200) % 2 == 0, label), half)])
    assert result.p_images < 0.001
    assert result.p_seeds > 0.3
    assert result.verdict() == "not distinguishable"


def test_verdict_uses_the_corrected_p():
    label = np.repeat([0, 1], [60, 30])
    result = compare([(bits(np.ones(90), label), bits(np.arange(90) % 2, label))])
    assert result.verdict(0.2) == "not distinguishable"
    assert result.verdict(0.2, level=0.7) == "better"


# ------------------------------------------------------------------------------------------------ what it takes


def test_images_needed_scales_with_the_square_of_the_gap():
    result = compare(pairs(1, np.array([0.9, 0.8, 0.7]), np.array([0.8, 0.7, 0.6])))
    assert images_needed(result, 0.0001) == pytest.approx(4 * images_needed(result, 0.0002), rel=0.001)
    z = scipy_stats.norm.ppf(0.975) + scipy_stats.norm.ppf(0.8)
    times = images_needed(result, 0.02) / 100
    assert z * result.error / np.sqrt(times) + result.one / times == pytest.approx(0.02, rel=1e-3)
    assert images_needed(result, -0.02) == images_needed(result, 0.02)


def test_images_needed_give_the_power_they_promise():
    """A simulated test set of that size finds the true gap in about 80 of 100 cases."""
    rate_a, rate_b, n = np.array([0.8, 0.6]), np.array([0.7, 0.5]), np.array([120, 60])
    first = compare([networks(n, rate_a, rate_b, 0.5, numpy_stream(1, "power"))])
    scale = images_needed(first, 0.1) / n.sum()
    found = 0
    for i in range(150):
        pair = networks(np.round(n * scale).astype(int), rate_a, rate_b, 0.5, numpy_stream(2, "power", i))
        found += compare([pair], draws=500, seed=i).p_images < 0.05
    assert 0.65 < found / 150 < 0.93


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 4.0])
def test_seeds_needed_against_the_exact_power(ratio):
    """Power of the t test from the noncentral t distribution: at most one seed apart."""
    result = compare(pairs(4, np.array([0.9, 0.8, 0.7]), np.array([0.7, 0.6, 0.5])))
    spread = np.std(result.per_seed, ddof=1)
    gap = spread / ratio
    needed = seeds_needed(result, gap)

    def power(count):
        critical = scipy_stats.t.ppf(0.975, count - 1)
        return scipy_stats.nct.sf(critical, count - 1, gap / spread * np.sqrt(count))

    exact = next(count for count in range(2, 1000) if power(count) >= 0.8)
    assert abs(needed - exact) <= 1


def test_seeds_needed_are_unknown_with_one_seed():
    result = compare(pairs(1, np.array([0.9, 0.8, 0.7]), np.array([0.8, 0.7, 0.6])))
    assert result.seeds is None
    assert seeds_needed(result, 0.01) is None
    for wrong in (0.0, np.inf):
        with pytest.raises(UsageError, match="gap"):
            images_needed(result, wrong)
    with pytest.raises(UsageError, match="power"):
        seeds_needed(result, 0.1, power=1.0)


# ----------------------------------------------------------------------------------------------------- coverage


@pytest.mark.parametrize(
    ("n", "shared", "rate", "seeds"),
    [
        (law(1000, 10, 10), 0.8, None, 1),
        (law(1000, 100, 10), 0.5, None, 1),
        (law(36, 10, 10), 0.8, None, 1),
        (law(50, 50, 20), 0.8, None, 1),
        (np.ones(8, int), 0.0, None, 1),
        (law(1000, 10, 10), 0.7, 0.005, 1),
        (law(1000, 100, 10), 0.7, 0.005, 3),
        (law(1000, 50, 10), 0.97, 0.995, 1),
        (law(1000, 100, 10), 0.97, 0.95, 3),
    ],
    ids=[
        "IR 10",
        "IR 100",
        "digits",
        "20 classes",
        "one image each",
        "near 0",
        "near 0, three seeds",
        "near 1, similar",
        "similar, three seeds",
    ],
)
def test_coverage_and_false_alarms_of_the_melded_differences(n, shared, rate, seeds):
    """Equal balanced accuracies: by other classes (rates 0.8 to 0.2 against their mirror), or by one rate for all."""
    rate_a = np.linspace(0.8, 0.2, len(n)) if rate is None else np.full(len(n), rate)
    rounds, held, alarms = 150, 0, 0
    for i in range(rounds):
        rng = numpy_stream(3, "coverage", i)
        result = compare([networks(n, rate_a, rate_a[::-1], shared, rng) for _ in range(seeds)], draws=300, seed=i)
        held += result.images.low <= 0 <= result.images.high
        alarms += result.p_images < 0.05
    assert held / rounds > 0.90  # 95%, less three standard errors of 150 rounds
    assert alarms / rounds < 0.10


def test_a_gap_between_similar_networks_is_covered():
    n, held = law(1000, 10, 10), 0
    for i in range(150):
        pair = networks(n, np.full(10, 0.007), np.full(10, 0.005), 0.97, numpy_stream(4, "gap", i))
        result = compare([pair], draws=300, seed=i)
        held += result.images.low <= 0.002 <= result.images.high
    assert held / 150 > 0.90


@pytest.mark.parametrize("n", [law(1000, 100, 10), np.full(10, 1000), np.full(10, 64)], ids=["IR 100", "1000", "64"])
@pytest.mark.parametrize("label", [0, 5])
def test_few_images_that_disagree_weigh_as_in_the_sign_test(n, label):
    """k images that only A gets right: p 1, 1/2, 1/4, ...; no verdict before the sixth, in interval and word."""
    labels = np.repeat(np.arange(10), n)
    half = np.arange(len(labels)) % 2 == 0
    for k in range(8):
        fewer = half.copy()
        fewer[np.flatnonzero((labels == label) & half)[:k]] = False
        result = compare([(bits(half, labels), bits(fewer, labels))])
        assert result.p_images == pytest.approx(min(1.0, 2 * 0.5**k), abs=0.015)
        assert (result.images.low > 0) == (result.verdict() == "better") == (k >= 6)
        assert result.images.high > result.difference or k == 0


@given(st.integers(0, 2**32), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=40, deadline=None)
def test_a_verdict_never_contradicts_its_interval(seed, level):
    rng = numpy_stream(seed, "verdict")
    gap = rng.random() * 0.3
    pair = networks(np.array([40, 20, 5]), np.full(3, 0.5 + gap), np.full(3, 0.5), 0.8, rng)
    result = compare([pair], level, draws=400)
    clear = result.images.low > 0 or result.images.high < 0
    assert clear == (result.verdict(level=level) != "not distinguishable")


def test_draws_come_from_a_private_stream():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - looked at, not drawn from
    pair = pairs(1, np.full(3, 0.8), np.full(3, 0.6))
    assert compare(pair) == compare(pair)
    assert compare(pair, seed=1).images != compare(pair).images
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_verdicts_are_three_words():
    assert paired.VERDICTS == ("better", "not distinguishable", "worse")
