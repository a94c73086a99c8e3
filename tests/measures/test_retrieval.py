from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.neighbors import NearestCentroid

from resonance.measures.retrieval import cosine_scores, mrr, one_way, ranks, separability, shifted


def draw(seed: int, n: int = 20, d: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_ranks_by_hand() -> None:
    """The best linked piece counts; pieces that score the same share the middle rank; a row without links is silent."""
    scores = np.array([[3.0, 2, 1], [1, 1, 1], [0, 5, 9], [9, 9, 9]])
    links = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]], bool)
    assert ranks(scores, links) == [1, 2, 1]
    assert one_way(scores, links) == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert np.isnan(one_way(scores, np.zeros((4, 3), bool)))


def test_both_sides_ask() -> None:
    scores, links = np.array([[2.0, 3], [0, 1]]), np.eye(2, dtype=bool)
    assert ranks(scores, links) == [2, 1]
    assert ranks(scores.T, links.T) == [1, 2]
    assert mrr(scores, links) == pytest.approx(3 / 4)
    assert mrr(scores, links) == mrr(scores.T, links.T)


def test_with_one_link_each_it_is_the_average_precision_of_scikit_learn() -> None:
    scores, links = draw(0, 30, 30), np.eye(30, dtype=bool)
    assert one_way(scores, links) == pytest.approx(label_ranking_average_precision_score(links, scores), abs=1e-12)


def test_chance_is_the_mean_of_all_reciprocal_ranks() -> None:
    values = [mrr(draw(seed, 16, 16), np.eye(16, dtype=bool)) for seed in range(300)]
    assert np.mean(values) == pytest.approx(np.mean(1 / np.arange(1, 17)), abs=0.01)


def test_shifts_are_all_but_none() -> None:
    scores, links = draw(0, 5, 7), np.eye(5, 7, dtype=bool)
    found = shifted(scores, links)
    assert len(found) == 6
    assert found[0] == mrr(scores[:, [6, 0, 1, 2, 3, 4, 5]], links)


def test_cosines_are_those_of_scipy_without_the_means() -> None:
    a, b = draw(0) + 3, draw(1, 15) - 5
    expected = 1 - cdist(a - a.mean(axis=0), b - b.mean(axis=0), "cosine")
    assert cosine_scores(a, b) == pytest.approx(expected, abs=1e-12)
    assert (cosine_scores(np.full((4, 6), 0.1), b) == 0).all(), "rounding has no direction"


@pytest.mark.parametrize("measure", [lambda a, b: mrr(cosine_scores(a, b), np.eye(20, dtype=bool)), separability])
def test_rotation_scale_shift_and_order_change_nothing(measure: Callable) -> None:
    a = draw(0)
    b = a + 0.8 * draw(1) + 0.6
    rotation, order = np.linalg.qr(draw(2, 6, 6))[0], np.random.default_rng(3).permutation(20)
    known = measure(a, b)
    assert 0.5 < known < 0.95
    for others in ((a @ rotation, b @ rotation), (5 * a, 5 * b), (a + 9, b + 9), (a[order], b[order])):
        assert measure(*others) == pytest.approx(known, abs=1e-12)


def test_a_role_may_lie_elsewhere_and_be_larger() -> None:
    a, links = draw(0), np.eye(20, dtype=bool)
    assert mrr(cosine_scores(a, 3 * a + 100), links) == 1
    assert mrr(cosine_scores(a, draw(1)), links) < 0.4


def test_separability_is_that_of_a_nearest_centroid() -> None:
    a, b = draw(0), draw(1) + 0.7
    x, role = np.concatenate([a, b]), np.repeat([0, 1], 20)
    piece = np.tile(np.arange(20), 2)
    hits = []
    for number in range(20):
        known = piece != number
        fitted = NearestCentroid().fit(x[known], role[known])
        hits += (fitted.predict(x[~known]) == role[~known]).tolist()
    assert separability(a, b) == pytest.approx(np.mean(hits))
    assert 0.6 < np.mean(hits) < 1


def test_separability_of_planted_roles() -> None:
    a = draw(0)
    assert separability(a, a) == 0.5
    assert separability(a, a + 10) == 1
