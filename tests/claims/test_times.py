"""Times to a mark, and how censored ones are compared."""

from __future__ import annotations

from math import inf

import pandas as pd
import pytest
from scipy import stats

from resonance.claims.times import Signs, compare_times, first_mark


def test_the_first_mark_at_or_above_the_share() -> None:
    curve = pd.Series([0.0, 0.3, 0.99, 0.98, 1.0], [0, 1, 2, 4, 8])
    assert (first_mark(curve, 0.5), first_mark(curve, 0.99), first_mark(curve, 1.0)) == (2, 2, 8)


def test_not_reached_is_censored() -> None:
    assert first_mark(pd.Series([0.0, 0.4], [0, 64]), 0.5) == inf


def test_a_censored_time_is_later_than_any_that_was_reached() -> None:
    found = compare_times([8, 16, 4, 8, 8, 16, 32], [inf, 32, 16, inf, 64, 64, 64])
    assert found == Signs(7, 0, 0, stats.binomtest(7, 7).pvalue)


def test_two_censored_times_count_against_a_difference() -> None:
    found = compare_times([8, 8, 8, inf, inf, inf], [16, 16, 16, inf, inf, inf])
    assert (found.earlier, found.later, found.ties) == (3, 0, 3)
    assert found.p == pytest.approx(stats.binomtest(4, 6).pvalue)
    assert compare_times([inf], [inf]).p == 1
    assert compare_times([], []).p == 1
