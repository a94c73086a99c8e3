from collections.abc import Callable

import numpy as np
import pytest
from skdim.id import TwoNN
from sklearn.metrics.pairwise import cosine_similarity

from resonance.measures import geometry
from resonance.measures.geometry import anisotropy, participation_ratio, rankme, two_nearest, two_nn


def with_variances(*variances: float) -> np.ndarray:
    """Centred vectors whose covariance has exactly these eigenvalues, in a turned basis."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, len(variances)))
    q, _ = np.linalg.qr(x - x.mean(0))
    return q * np.sqrt(variances) @ np.linalg.qr(rng.standard_normal((len(variances),) * 2))[0]


def test_equal_variances_count_dimensions() -> None:
    assert participation_ratio(with_variances(2, 2, 2, 2, 2)) == pytest.approx(5, abs=1e-10)


def test_unequal_variances_by_hand() -> None:
    assert participation_ratio(with_variances(3, 1)) == pytest.approx(16 / 10, abs=1e-10)
    assert participation_ratio(with_variances(5, 0, 0)) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize(("n", "d"), [(40, 12), (12, 40)])
def test_parity_with_eigenvalues(n: int, d: int) -> None:
    x = np.random.default_rng(1).standard_normal((n, d)) * np.arange(1, d + 1)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T))
    assert participation_ratio(x) == pytest.approx(eigenvalues.sum() ** 2 / np.square(eigenvalues).sum(), abs=1e-8)


def test_scale_shift_and_rotation_change_nothing() -> None:
    x = with_variances(4, 2, 1)
    for scale in (1e-200, 1.0, 1e150):
        assert participation_ratio(scale * x) == pytest.approx(49 / 21, abs=1e-10)
    assert participation_ratio(x + 100) == pytest.approx(49 / 21, abs=1e-8)


def test_what_does_not_vary_has_none() -> None:
    assert np.isnan(participation_ratio(np.full((9, 4), 0.3)))


def draw(seed: int, n: int = 200, d: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def rotation(d: int = 30) -> np.ndarray:
    return np.linalg.qr(draw(9, d, d))[0]


def test_rankme_is_the_published_formula() -> None:
    x = draw(0) * np.arange(1, 31) + 1
    p = np.sqrt(np.linalg.eigvalsh(x.T @ x))
    p = p / p.sum() + 1e-7
    assert rankme(x) == pytest.approx(np.exp(-np.sum(p * np.log(p))), abs=1e-6)


@pytest.mark.parametrize("rank", [1, 5, 30])
def test_rankme_counts_equal_directions(rank: int) -> None:
    q = np.linalg.qr(draw(0, 200, 30))[0][:, :rank]
    assert rankme(q @ rotation()[:rank]) == pytest.approx(rank, rel=1e-4)


def test_rankme_is_the_largest_of_the_dimensions() -> None:
    """As simulated for white noise of 600 vectors in 64 dimensions: 63.1 against a participation ratio of 57.6."""
    x = draw(3, 600, 64)
    assert rankme(x) == pytest.approx(63.1, abs=0.2)
    assert participation_ratio(x) == pytest.approx(57.6, abs=0.5)


def test_rankme_takes_the_mean_for_a_direction() -> None:
    x = draw(0)
    assert rankme(x + 100) < 3 < 25 < rankme(x)
    assert np.isnan(rankme(np.zeros((5, 3))))


def curved(d: int, n: int = 600) -> np.ndarray:
    """n vectors on a bent sheet of d dimensions in 64."""
    x = np.random.default_rng(d).standard_normal((n, d))
    return np.tanh(x @ draw(1, d, 64) / 4)


@pytest.mark.parametrize("cloud", [draw(0), draw(1, 300, 20), curved(2), curved(6)])
def test_two_nn_is_that_of_scikit_dimension(cloud: np.ndarray) -> None:
    expected = TwoNN(discard_fraction=0.1).fit(cloud).dimension_
    assert two_nn(cloud) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("d", "low", "high"), [(2, 1.8, 2.3), (5, 4.4, 5.6), (10, 8, 10.5)])
def test_two_nn_finds_the_dimension_of_a_sheet(d: int, low: float, high: float) -> None:
    assert low < two_nn(curved(d, 1000)) < high


def test_two_nn_counts_equal_vectors_once() -> None:
    x = curved(4)
    assert two_nn(np.concatenate([x, x[:100], x[:50]])) == two_nn(x)


def test_neighbours_that_are_hardly_apart_keep_their_distances() -> None:
    """Vectors of length 1e4 in pairs 1e-6 apart: scalar products see no distance there, differences do."""
    x = 1e4 * draw(0)
    pairs = np.concatenate([x, x + 1e-6 * rotation()[0]])
    distances = two_nearest(pairs)
    assert distances[:, 0] == pytest.approx(1e-6, rel=1e-4)
    brute = np.sort(np.linalg.norm(pairs[:, None] - pairs, axis=2), axis=1)[:, 1:3]
    assert distances == pytest.approx(brute, rel=1e-12)


def test_few_vectors_have_no_two_nn() -> None:
    assert np.isnan(two_nn(draw(0, 19)))
    assert np.isnan(two_nn(np.repeat(draw(0, 19), 3, axis=0)))
    assert np.isnan(two_nn(np.ones((40, 3))))
    assert np.isnan(two_nn(draw(0, 2)))
    assert not np.isnan(two_nn(draw(0, 20)))


def test_anisotropy_is_the_mean_over_pairs_of_two_types() -> None:
    x, token = draw(0) + 0.5, np.arange(200) % 7
    cosine = cosine_similarity(x)
    expected = cosine[token[:, None] != token].mean()
    assert anisotropy(x, token) == pytest.approx(expected, abs=1e-12)
    assert expected > 0.1


def test_even_directions_have_no_anisotropy_and_equal_ones_have_one() -> None:
    token = np.arange(200)
    assert abs(anisotropy(draw(0), token)) < 0.01
    assert anisotropy(np.outer(np.arange(1, 201), np.ones(30)), token) == pytest.approx(1)
    assert anisotropy(np.repeat(draw(0, 20), 10, axis=0), token // 10) == pytest.approx(
        anisotropy(draw(0, 20), np.arange(20))
    )


def test_one_type_or_no_direction_has_no_anisotropy() -> None:
    assert np.isnan(anisotropy(draw(0), np.zeros(200)))
    assert np.isnan(anisotropy(np.zeros((3, 2)), np.arange(3)))


@pytest.mark.parametrize("measure", [rankme, two_nn, lambda x: anisotropy(x, np.arange(len(x)))])
def test_rotation_scale_and_order_change_nothing(measure: Callable) -> None:
    x = draw(0) + 0.3
    for other in (x @ rotation(), 1e3 * x, 1e-3 * x, x[::-1]):
        assert measure(other) == pytest.approx(measure(x), rel=1e-9)


def test_only_two_nn_does_not_see_a_shift() -> None:
    x = draw(0)
    assert two_nn(x + 10) == pytest.approx(two_nn(x), rel=1e-9)
    assert anisotropy(x + 10, np.arange(200)) > 0.9


def test_rows_per_layer_direction_and_side(synthetic: Callable) -> None:
    run = synthetic(cycles=(0, 2), probes=("unrelated",)).write()
    rows = list(geometry.measure(run))
    assert len(rows) == 2 * 2 * (4 * 2 + 1) * 4
    found = {(r.cycle, r.layer, r.direction, r.condition): r.value for r in rows if r.measure == "participation_ratio"}
    own = run.snapshots.at(2).layer(1)
    assert found[2, 1, "1>2", "target"] == participation_ratio(own.where("1>2", "target").vectors)
    assert found[2, 1, "probe", "unrelated"] == participation_ratio(own.where("probe", text="unrelated").vectors)
    others = {r.measure: r.value for r in rows if (r.cycle, r.layer, r.condition) == (2, 1, "unrelated")}
    probe = own.where("probe", text="unrelated")
    assert others["rankme"] == rankme(probe.vectors)
    assert others["two_nn"] == two_nn(probe.vectors)
    assert others["anisotropy"] == anisotropy(probe.vectors, probe.token)
