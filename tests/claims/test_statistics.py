"""Intervals, tests and corrections against scipy, small published examples and simulation."""

from __future__ import annotations

from itertools import product
from math import isnan, nan

import numpy as np
import pytest
from scipy import stats

from resonance.claims import statistics

RNG = np.random.default_rng(3)
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Differences in height of 15 pairs of maize plants, in eighths of an inch (Darwin 1876; Fisher 1935, § 17)."""


def test_the_t_interval_is_that_of_scipy() -> None:
    x = RNG.normal(size=9)
    found = stats.ttest_1samp(x, 0.0)
    for level in (0.90, 0.95):
        mean, low, high = statistics.t_interval(x, level)
        assert (low, high) == pytest.approx(tuple(found.confidence_interval(level)))
        assert mean == pytest.approx(x.mean())
    assert statistics.t_test(x) == pytest.approx(found.pvalue)


@pytest.mark.parametrize("n", [2, 5, 7])
def test_the_t_interval_covers_what_it_says(n: int) -> None:
    """95 % of 4,000 samples, where the percentile bootstrap covers 83 % at n = 5."""
    x = np.random.default_rng(n).normal(1.0, 2.0, (4000, n))
    bounds = np.array([statistics.t_interval(each) for each in x])
    assert np.mean((bounds[:, 1] <= 1) & (bounds[:, 2] >= 1)) == pytest.approx(0.95, abs=0.012)


def test_darwins_plants() -> None:
    """Fisher counts 1,726 of 32,768 flips with a sum as large; p of Student's test is 0.0497."""
    assert statistics.sign_flip(DARWIN) == pytest.approx(1726 / 32768)
    assert statistics.t_test(DARWIN) == pytest.approx(0.0497, abs=5e-5)


def test_sign_flips_are_counted_one_by_one() -> None:
    x = RNG.normal(0.7, 1.0, 8)
    sums = [np.dot(flip, x) for flip in product((-1, 1), repeat=8)]
    assert statistics.sign_flip(x) == pytest.approx(np.mean(np.abs(sums) >= abs(x.sum()) - 1e-12))


@pytest.mark.parametrize("n", [1, 5, 7, 10])
def test_sign_flips_cannot_go_below_their_floor(n: int) -> None:
    assert statistics.sign_flip(np.full(n, 0.3)) == 2 / 2**n


def test_seven_units_are_the_first_that_satisfy_holm_over_three() -> None:
    assert 2 / 2**7 <= 0.05 / 3 < 2 / 2**6


def test_drawn_flips_agree_with_all_flips() -> None:
    x = RNG.normal(0.4, 1.0, 20)
    exact = statistics.sign_flip(x)
    draws = np.sign(np.random.default_rng(0).normal(size=(9999, 20))) @ x
    assert exact == pytest.approx(np.mean(np.abs(draws) >= abs(x.sum())), abs=0.015)
    more = np.concatenate([x, [1e-9]])
    assert statistics.sign_flip(more) == pytest.approx(exact, abs=0.015)
    assert statistics.sign_flip(more) == statistics.sign_flip(more)


def test_equivalence_says_the_same_as_the_90_percent_interval() -> None:
    for scale in (0.2, 0.5, 1.0, 2.0):
        x = RNG.normal(0.1, scale, 8)
        _, low, high = statistics.t_interval(x, 0.90)
        assert (statistics.equivalence(x, 0.5) <= 0.05) == (low > -0.5 and high < 0.5)
    one_sided = [stats.ttest_1samp(x, b, alternative=a).pvalue for b, a in ((-0.5, "greater"), (0.5, "less"))]
    assert statistics.equivalence(x, 0.5) == pytest.approx(max(one_sided))
    assert statistics.equivalence([0.1, 0.1], 0.5) == 0.0


def test_holm_by_hand() -> None:
    """Smallest times 4, next times 3, ..., never falling."""
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == []


def test_benjamini_hochberg_is_that_of_scipy() -> None:
    p = RNG.uniform(size=11) ** 2
    assert statistics.benjamini_hochberg(p.tolist()) == pytest.approx(stats.false_discovery_control(p))


def test_one_unit_has_neither_interval_nor_p() -> None:
    mean, low, high = statistics.t_interval([0.4])
    assert mean == 0.4
    assert all(map(isnan, (low, high, statistics.t_test([0.4]), statistics.equivalence([0.4], 1.0))))


def test_equal_values_leave_no_doubt() -> None:
    assert statistics.t_interval([0.5] * 4) == (0.5, 0.5, 0.5)
    assert (statistics.t_test([0.5] * 4), statistics.t_test([0.0] * 4)) == (0.0, 1.0)


def test_units_needed_is_the_first_number_that_suffices() -> None:
    n = statistics.units_needed(0.5, 1.0)
    assert n is not None
    half = [stats.t.ppf(0.975, k - 1) / np.sqrt(k) for k in (n - 1, n)]
    assert half[0] >= 0.5 > half[1]
    assert statistics.units_needed(1e-6, 1.0) is None
    assert statistics.units_needed(nan, 1.0) is None


def test_the_slope_is_per_doubling() -> None:
    assert statistics.slope([1, 4, 16, 64], [0.0, 0.2, 0.4, 0.6]) == pytest.approx(0.1)
    dose, y = [1, 2, 8, 32], RNG.normal(size=4)
    assert statistics.slope(dose, y) == pytest.approx(np.polyfit(np.log2(dose), y, 1)[0])
