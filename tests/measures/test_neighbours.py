from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors

from resonance.measures import neighbours
from resonance.measures.cka import debiased_cka
from resonance.measures.neighbours import mutual_knn, procrustes_distance, rsa


def draw(seed: int, n: int = 60, d: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def rotation(d: int = 9) -> np.ndarray:
    return np.linalg.qr(draw(9, d, d))[0]


def near(seed: int = 1) -> np.ndarray:
    """A cloud that is like draw(0)."""
    return draw(0) + 0.5 * draw(seed)


def test_procrustes_distance_is_that_of_scipy() -> None:
    """Its disparity is 1 - cos^2 of the angle."""
    disparity = procrustes(draw(0), near())[2]
    assert np.cos(procrustes_distance(draw(0), near())) ** 2 == pytest.approx(1 - disparity, abs=1e-12)
    assert 0.1 < disparity < 0.9


def test_procrustes_distance_is_a_metric() -> None:
    x, y, z = draw(0), near(), draw(2)
    assert procrustes_distance(x, y) == pytest.approx(procrustes_distance(y, x), abs=1e-9)
    assert procrustes_distance(x, z) <= procrustes_distance(x, y) + procrustes_distance(y, z)
    assert procrustes_distance(x, x) < 1e-6


def test_clouds_that_share_nothing_are_at_right_angles() -> None:
    x = np.zeros((8, 2))
    y = x.copy()
    x[:4, 0], y[4:, 1] = [1, -1, 1, -1], [1, -1, 1, -1]
    assert procrustes_distance(x, y) == pytest.approx(np.pi / 2)
    assert np.isnan(procrustes_distance(np.full((8, 2), 0.1), x))


def test_rsa_is_the_rank_correlation_of_cosine_distances() -> None:
    expected = spearmanr(pdist(draw(0), "cosine"), pdist(near(), "cosine")).statistic
    assert rsa(draw(0), near()) == pytest.approx(expected, abs=1e-8)
    assert 0.3 < expected < 0.95


def test_mutual_knn_is_that_of_a_neighbour_search() -> None:
    sets = []
    for cloud in (draw(0), near()):
        found = NearestNeighbors(n_neighbors=11, metric="cosine").fit(cloud).kneighbors(return_distance=False)
        sets.append([set(row[:10]) for row in found])
    expected = np.mean([len(a & b) / 10 for a, b in zip(*sets, strict=True)])
    assert mutual_knn(draw(0), near()) == pytest.approx(expected, abs=1e-12)
    assert 0.3 < expected < 0.9


def test_neighbours_in_random_order_are_shared_by_chance() -> None:
    values = [mutual_knn(draw(2 * i), draw(2 * i + 1)) for i in range(40)]
    assert np.mean(values) == pytest.approx(10 / 59, abs=0.01)


def test_equal_vectors_are_neighbours_in_one_order() -> None:
    """Tokens of one type in layer 0: rounding must not part them differently in a rotated copy."""
    x = np.repeat(draw(0, 6), 20, axis=0)
    assert mutual_knn(x, 3 * x @ rotation()) == 1
    assert mutual_knn(x, x + 1e-15 * draw(1, 120)) == 1


@pytest.mark.parametrize("measure", [procrustes_distance, rsa, mutual_knn])
def test_rotation_scale_and_common_order_change_nothing(measure: Callable) -> None:
    x, y = draw(0), near()
    order = np.random.default_rng(5).permutation(len(x))
    known = measure(x, y)
    assert measure(x, 7.5 * y @ rotation()) == pytest.approx(known, abs=1e-9)
    assert measure(x[order], y[order]) == pytest.approx(known, abs=1e-9)
    assert measure(x, y[order]) != pytest.approx(known, abs=1e-3)


def test_a_shift_changes_what_is_measured_from_the_origin() -> None:
    x, y = draw(0), near()
    assert procrustes_distance(x, y + 5) == pytest.approx(procrustes_distance(x, y), abs=1e-9)
    assert rsa(x, y + 5) != pytest.approx(rsa(x, y), abs=1e-2)
    assert mutual_knn(x, y + 5) != pytest.approx(mutual_knn(x, y), abs=1e-2)


def test_too_few_tokens_have_no_neighbours() -> None:
    with pytest.raises(ValueError, match="need more"):
        mutual_knn(draw(0, 10), draw(1, 10))


def noisy(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
    return vectors + rng.standard_normal(vectors.shape)


def test_rows_are_of_the_direction_side_and_layer(synthetic: Callable) -> None:
    run = synthetic(cycles=(0, 1, 4), later=noisy).write()
    rows = list(neighbours.measure(run))
    assert len(rows) == 2 * 2 * 8 * 5
    found = {(r.cycle, r.layer, r.direction, r.condition, r.measure): r.value for r in rows}
    start, before, now = (run.snapshots.at(cycle).layer(1).where("2>1", "target").vectors for cycle in (0, 1, 4))
    place = (4, 1, "2>1", "target")
    assert found[*place, "procrustes_distance"] == procrustes_distance(start, now)
    assert found[*place, "rsa"] == rsa(start, now)
    assert found[*place, "mutual_knn"] == mutual_knn(start, now)
    assert found[*place, "mutual_knn_null"] == 10 / 59
    assert found[*place, "cka_previous"] == debiased_cka(before, now)
    assert found[1, 1, "2>1", "target", "cka_previous"] == debiased_cka(start, before)


def test_without_the_first_cycle_only_marks_are_compared(synthetic: Callable) -> None:
    rows = list(neighbours.measure(synthetic(cycles=(1, 2, 4), later=noisy).write()))
    assert {row.measure for row in rows} == {"cka_previous"}
    assert {row.cycle for row in rows} == {2, 4}


def test_a_network_that_only_turned_kept_everything(synthetic: Callable) -> None:
    def turned(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
        return 2 * vectors @ np.linalg.qr(np.random.default_rng(cycle).standard_normal((16, 16)))[0]

    rows = list(neighbours.measure(synthetic(later=turned).write()))
    values = {name: [row.value for row in rows if row.measure == name] for name in neighbours.MEASURES}
    assert max(values["procrustes_distance"]) < 1e-3
    for name in ("rsa", "mutual_knn", "cka_previous"):
        assert min(values[name]) > 0.999


def test_long_texts_are_ranked_on_few_tokens(synthetic: Callable) -> None:
    run = synthetic(cycles=(0, 8), length=400, layers=1, probes=(), later=noisy).write()
    rows = {(r.direction, r.condition, r.measure): r.value for r in neighbours.measure(run)}
    start, now = (run.snapshots.at(cycle).layer(0).where("1>1", "input").vectors for cycle in (0, 8))
    few = np.linspace(0, 399, 300).astype(int)
    assert rows["1>1", "input", "rsa"] == rsa(start[few], now[few])
    assert rows["1>1", "input", "mutual_knn"] == mutual_knn(start, now)


def test_short_texts_and_other_places(synthetic: Callable) -> None:
    assert list(neighbours.measure(synthetic(length=11).write())) == []
    tokens = synthetic().write().snapshots.at(0).layer(0)
    moved = replace(tokens, position=tokens.position + 1)
    with pytest.raises(ValueError, match="different places"):
        list(neighbours.with_first(tokens, moved))
