"""The one rule of `bench check` and `bench report`, at hand-made values: corners, metrics, seeds, standings."""

from __future__ import annotations

import math

import pytest

from bench.judge.stats import over_seeds, two_sided_z
from bench.judge.verdict import MATCH, NOISE, OFF, against_print, judge, printed_error

Z = two_sided_z(0.95)


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [(0.0, MATCH), (0.01, MATCH), (-0.01, MATCH), (0.0101, NOISE), (-0.03, NOISE), (0.0301, OFF), (-0.5, OFF)],
)
def test_both_bounds_belong_to_the_milder_verdict(difference, verdict):
    assert judge(difference, 0.01, 0.03) == verdict


def test_a_printed_value_has_the_binomial_error_of_its_classes():
    assert printed_error(0.3, [0.5, 0.5], [100, 25]) == pytest.approx(math.sqrt(0.25 * 0.21 * (1 / 100 + 1 / 25)))
    assert printed_error(0.3, [0.5, 0.5, 0.0], [100, 1, 0]) == pytest.approx(math.sqrt(0.25 * 0.21 * 1.01))
    assert printed_error(1.2, [1.0], [50]) == printed_error(-0.1, [1.0], [50]) == 0  # rounding of a print at a corner


def noise(name, n, correct, printed=0.4, **more):
    return against_print(printed, name, n, correct, **more)[1]


def test_each_metric_has_its_own_margin():
    n, correct = [1000, 10], [400, 4]
    # over images the large class decides, over classes the small one
    assert noise("standard", n, correct) == pytest.approx(Z * math.sqrt(2 * 0.24 / 1010), rel=0.02)
    assert noise("balanced", n, correct) == pytest.approx(Z * math.sqrt(2 * 0.24 * (1 / 1000 + 1 / 10) / 4), rel=0.05)
    assert noise("worst-class", n, correct) == noise("balanced", n, correct)


def test_seeds_share_their_images_and_widen_the_margin_only_by_their_spread():
    alike = [[100, 100]] * 3, [[40, 30]] * 3
    assert noise("balanced", *alike) == pytest.approx(noise("balanced", [100, 100], [40, 30]))
    apart = [[100, 100]] * 3, [[60, 50], [20, 10], [40, 30]]
    seeds = over_seeds([0.55, 0.15, 0.35])
    assert seeds is not None
    assert noise("balanced", *apart) == pytest.approx(seeds.margin)
    narrow = over_seeds([0.55, 0.15, 0.35], 0.5)
    assert narrow is not None
    assert noise("balanced", *apart, level=0.5) == pytest.approx(narrow.margin)


def test_the_difference_is_that_of_the_mean_over_seeds():
    value, _, verdict = against_print(0.35, "balanced", [[100, 100]] * 2, [[50, 30], [40, 20]])
    assert (value, verdict) == (pytest.approx(0.35), MATCH)
    assert against_print(0.9, "balanced", [1000, 1000], [400, 300])[2] == OFF


def test_only_a_target_is_judged():
    far = 0.9, "balanced", [1000, 1000], [400, 300]
    assert against_print(*far, standing="report")[2] == "report only"
    assert against_print(*far, standing="never")[2] == "impossible in the paper"
    assert against_print(*far, standing="target")[2] == OFF
