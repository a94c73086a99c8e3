"""The crossed design against a published example and simulation."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from resonance.claims.crossed import Crossed

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=np.float64
)
"""Six targets rated by four judges (Shrout & Fleiss 1979, table 2)."""


def test_mean_squares_and_share_of_the_published_example() -> None:
    found = Crossed.of(SHROUT_FLEISS)
    assert (found.schedules, found.initialisations, found.rest) == pytest.approx((11.24, 32.49, 1.02), abs=0.005)
    assert found.share() == pytest.approx((0.29, 0.019, 0.761), abs=0.001)


def table(rng: np.random.Generator, schedules: float, initialisations: float, rest: float) -> np.ndarray:
    parts = rng.normal(size=(6, 1)) * schedules + rng.normal(size=(1, 6)) * initialisations
    return parts + rng.normal(size=(6, 6)) * rest


@pytest.mark.parametrize(("initialisations", "rest"), [(0.1, 0.1), (0.3, 0.05), (0.1, 0.3)])
def test_the_interval_of_the_spread_covers_what_it_says(initialisations: float, rest: float) -> None:
    rng, true = np.random.default_rng(0), log(1.1)
    bounds = np.array([Crossed.of(table(rng, true, initialisations, rest)).spread() for _ in range(500)])
    assert np.mean((bounds[:, 1] <= true) & (bounds[:, 2] >= true)) >= 0.925
    assert np.mean(bounds[:, 1] > true) <= 0.045


def test_the_interval_of_the_share_covers_what_it_says() -> None:
    rng = np.random.default_rng(1)
    bounds = np.array([Crossed.of(table(rng, 1.0, 1.0, 1.0)).share() for _ in range(500)])
    assert 0.90 <= np.mean((bounds[:, 1] <= 1 / 3) & (bounds[:, 2] >= 1 / 3)) <= 0.99


def test_p_is_uniform_without_an_effect_and_small_with_one() -> None:
    rng = np.random.default_rng(2)
    p = np.array([Crossed.of(table(rng, 0.0, 0.5, 0.1)).p() for _ in range(100)])
    assert np.mean(p <= 0.1) == pytest.approx(0.1, abs=0.08)
    assert Crossed.of(table(rng, 1.0, 0.5, 0.1)).p() == 1 / 5000


def test_schedules_alone_have_the_whole_variance() -> None:
    found = Crossed.of(np.arange(6.0)[:, None] + np.zeros((1, 6)))
    assert found.share()[0] == 1
    assert found.spread()[0] == pytest.approx(np.arange(6.0).std(ddof=1))


def test_nothing_varies() -> None:
    found = Crossed.of(np.ones((6, 6)))
    assert (found.share()[0], *found.spread(), found.p()) == (0, 0, 0, 0, 1)


def test_one_initialisation_is_no_crossed_design() -> None:
    with pytest.raises(ValueError, match="6 schedules x 1"):
        Crossed.of(np.ones((6, 1)))
