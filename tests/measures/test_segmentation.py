from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from resonance.measures.segmentation import LEAST, TOLERANCE, best_ends, noise, pieces, without_outliers


def ends(x: np.ndarray, y: np.ndarray) -> list[int]:
    return [piece.start for piece in pieces(x, y)[1:]]


def cost(x: np.ndarray, y: np.ndarray, weight: np.ndarray, divided: tuple[int, ...], price: float) -> float:
    """What a division costs, piece by piece with numpy's own least squares."""
    total = price * len(divided)
    for start, stop in zip((0, *divided), (*divided, len(x)), strict=True):
        root = np.sqrt(weight[start:stop])
        design = np.stack([np.ones(stop - start), x[start:stop]], axis=1) * root[:, None]
        aim = y[start:stop] * root
        total += float(np.sum((aim - design @ np.linalg.lstsq(design, aim, rcond=None)[0]) ** 2))
    return total


@pytest.mark.parametrize("seed", range(12))
def test_no_division_costs_less(seed: int) -> None:
    draws = np.random.default_rng(seed)
    n, least, price = 13, 3, 1.5
    x = np.sort(draws.uniform(0, 6, n))
    y = draws.standard_normal(n) + 3 * (x > draws.uniform(1, 5)) + draws.normal() * x
    weight = draws.uniform(0.2, 2, n)
    allowed = [
        divided
        for number in range(n // least)
        for divided in combinations(range(1, n), number)
        if all(b - a >= least for a, b in zip((0, *divided), (*divided, n), strict=True))
    ]
    best = min(allowed, key=lambda divided: cost(x, y, weight, divided, price))
    assert tuple(best_ends(x, y, weight, price, least)) == best


@pytest.mark.parametrize("places", [(30,), (20, 44), (12, 26, 40, 54)])
@pytest.mark.parametrize("scale", [0.0, 0.1, 0.3])
def test_planted_steps_are_found_to_the_point(places: tuple[int, ...], scale: float) -> None:
    draws = np.random.default_rng(7)
    x = np.linspace(0, 6, 66)
    y = scale * draws.standard_normal(66) - 0.4 * x
    for turn, place in enumerate(places):
        y[place:] += 4.0 * (-1) ** turn
    assert ends(x, y) == list(places)


def test_a_bend_without_a_step_is_found() -> None:
    x = np.linspace(0, 10, 200)
    y = np.maximum(x - 6, 0) * -2 + 0.1 * np.random.default_rng(1).standard_normal(200)
    (place,) = ends(x, y)
    assert abs(x[place] - 6) < 0.3


@pytest.mark.parametrize("n", [64, 256])
def test_noise_does_not_break(n: int) -> None:
    draws = np.random.default_rng(0)
    x = np.log2(np.arange(1.0, 65)) if n == 64 else np.linspace(0, 12, n)
    broken = sum(len(pieces(x, draws.standard_normal(n) - 0.5 * x)) > 1 for _ in range(200))
    assert broken <= 10


def test_moving_and_turning_a_course_changes_nothing() -> None:
    draws = np.random.default_rng(3)
    x = np.linspace(0, 8, 120)
    y = draws.standard_normal(120) * 0.3 + np.where(x > 3, -2.0, 0.0) + np.where(x > 6, 1.5, 0.0)
    found = ends(x, y)
    assert len(found) == 2
    assert ends(x, y + 17) == ends(x + 5, y) == ends(x, y + 0.7 * x) == found


def test_a_single_stray_point_is_no_piece() -> None:
    x = np.linspace(0, 6, 64)
    y = 0.2 * np.random.default_rng(4).standard_normal(64)
    y[[20, 41]] = -6.0
    assert ends(x, y) == []


def test_steps_survive_the_clipping() -> None:
    y = np.repeat([0.0, 5.0, -1.0], 6)
    assert np.array_equal(without_outliers(y), y)


def test_noise_is_that_of_the_draws_whatever_the_spacing() -> None:
    draws = np.random.default_rng(5)
    x = np.cumsum(draws.uniform(0.1, 2, 4000))
    assert noise(x, 0.5 * draws.standard_normal(4000) + 3 * x).mean() == pytest.approx(0.5, rel=0.03)
    assert np.all(noise(x, 2 * x) == TOLERANCE)


def test_short_courses_are_one_piece() -> None:
    for n in (0, 1, 2, 2 * LEAST - 1):
        (piece,) = pieces(np.arange(float(n)), np.arange(float(n)) ** 2)
        assert (piece.start, piece.stop) == (0, n)
