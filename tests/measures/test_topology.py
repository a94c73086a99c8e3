from collections.abc import Callable
from itertools import permutations

import gudhi
import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform

from resonance.measures import topology
from resonance.measures.sample import generator
from resonance.measures.topology import MOST_POINTS, Diagram, bottleneck, diagram, noise_like, scaled_distances


def draw(seed: int, n: int = 60, d: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def ring(n: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)


def test_components_die_along_the_shortest_tree() -> None:
    x = draw(0)
    distance = squareform(pdist(x)) / np.median(pdist(x))
    edges = np.sort(minimum_spanning_tree(distance).data)
    found = diagram(x)
    assert np.sort(found.deaths) == pytest.approx(edges, abs=1e-9)
    assert found.persistence()["h0_persistence"] == pytest.approx(edges.sum(), abs=1e-7)


def test_a_square_has_one_loop_from_its_side_to_its_diagonal() -> None:
    found = diagram(np.array([[0.0, 0], [0, 3], [3, 3], [3, 0]]))
    assert found.loops == pytest.approx(np.array([[1, np.sqrt(2)]]))
    assert found.deaths == pytest.approx(np.ones(3))


def test_a_ring_has_one_loop_until_a_triangle_spans_it() -> None:
    """A regular polygon of 3 m corners: from its side to the side of the triangle inside it."""
    loops = diagram(ring(30)).loops
    median = np.median(pdist(ring(30)))
    assert len(loops) == 1
    assert loops[0] == pytest.approx([2 * np.sin(np.pi / 30) / median, np.sqrt(3) / median])


def test_a_line_and_a_point_have_no_loop() -> None:
    assert diagram(np.outer(np.arange(20.0), np.ones(3))).persistence()["h1_persistence"] == 0
    nothing = diagram(np.full((10, 3), 0.1)).persistence()
    assert nothing == {"h0_persistence": 0, "h1_persistence": 0, "h1_longest": 0}


def test_neither_the_longest_edge_nor_the_collapse_changes_a_loop() -> None:
    """Against all edges and no short cut."""
    for x in (draw(1, 40, 3), np.concatenate([ring(24), ring(24) + np.array([1.5, 0, 0])])):
        tree = gudhi.RipsComplex(distance_matrix=scaled_distances(x)).create_simplex_tree(2)
        tree.compute_persistence()
        whole = tree.persistence_intervals_in_dimension(1)
        assert len(whole) >= 2
        assert np.isfinite(whole).all()
        assert bottleneck(diagram(x).loops, whole) < 1e-12
        assert len(diagram(x).loops) == len(whole)


def test_rotation_scale_shift_and_order_change_nothing() -> None:
    x, known = draw(0), diagram(draw(0))
    rotation = np.linalg.qr(draw(5, 9, 9))[0]
    for other in (x @ rotation, 1e4 * x, 1e-4 * x, x + 3, x[::-1]):
        found = diagram(other)
        assert found.persistence() == pytest.approx(known.persistence(), abs=1e-6)
        assert bottleneck(found.loops, known.loops) < 1e-7


def test_distances_are_those_of_scipy() -> None:
    x = draw(0) + 2
    assert scaled_distances(x) == pytest.approx(squareform(pdist(x)) / np.median(pdist(x)), abs=1e-10)


def by_matching(a: np.ndarray, b: np.ndarray) -> float:
    """Bottleneck distance by trying all matchings; each diagram gets the other's projections on the diagonal."""
    middles = [np.repeat(own.mean(axis=1, keepdims=True), 2, axis=1) for own in (a, b)]
    left, right = np.concatenate([a, middles[1]]), np.concatenate([b, middles[0]])
    cost = np.abs(left[:, None] - right).max(axis=2)
    cost[len(a) :, len(b) :] = 0
    places = np.arange(len(left))
    return min(cost[places, list(order)].max() for order in permutations(places))


def test_bottleneck_is_the_best_of_all_matchings() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = (np.sort(rng.random((3, 2)), axis=1) for _ in range(2))
        assert bottleneck(a, b) == pytest.approx(by_matching(a, b), abs=1e-12)
    assert bottleneck(a, a) == 0
    assert bottleneck(a, np.zeros((0, 2))) == pytest.approx(np.diff(a).max() / 2)


def test_noise_has_the_covariance_of_the_cloud() -> None:
    x = draw(0, 50, 4) * [4, 2, 1, 0] + 7
    draws = generator("x")
    mean = np.mean([np.cov(noise_like(x, draws).T) for _ in range(400)], axis=0)
    assert mean == pytest.approx(np.cov(x.T), abs=0.6)
    assert noise_like(x, draws)[:, 3] == pytest.approx(0)


def test_noise_turns_with_the_cloud() -> None:
    x, rotation = draw(0), np.linalg.qr(draw(5, 9, 9))[0]
    noise = noise_like(x, generator("x"))
    assert noise_like(x @ rotation, generator("x")) == pytest.approx(noise @ rotation, abs=1e-10)


def test_lives_are_summed() -> None:
    found = Diagram(np.array([1.0, 2]), np.array([[1.0, 2], [3, 6]])).persistence()
    assert found == {"h0_persistence": 3, "h1_persistence": 4, "h1_longest": 3}


def rings(vectors: np.ndarray, cycle: int, rng: np.random.Generator) -> np.ndarray:
    """After cycle 0 every text is a ring with a little noise."""
    n, width = vectors.shape
    placed = np.tile(ring(60), (n // 60, 1))
    return np.pad(placed, ((0, 0), (0, width - 3))) + 0.02 * rng.standard_normal((n, width))


def test_a_ring_stands_out_of_noise(synthetic: Callable) -> None:
    run = synthetic(cycles=(0, 4), layers=1, later=rings).write()
    rows = {(r.cycle, r.direction, r.condition, r.measure): r for r in topology.measure(run)}
    places = {key[1:3] for key in rows}
    assert places == {("1>2", "target"), ("probe", "unrelated")}
    assert len(rows) == 2 * 2 * 6 + 2
    for place in places:
        loop, null = rows[4, *place, "h1_longest"], rows[4, *place, "h1_longest_null"]
        assert null.low <= null.value <= null.high < loop.value / 2
        assert loop.value > 0.7
        before = rows[0, *place, "h1_longest"]
        assert before.value < 2 * rows[0, *place, "h1_longest_null"].high
        # The ring has no partner at cycle 0 that is much nearer than the diagonal, half its life away.
        assert 0.9 < rows[4, *place, "h1_bottleneck"].value / (loop.value / 2) < 1 + 1e-9


def test_rows_are_of_the_cloud_of_evenly_spaced_tokens(synthetic: Callable) -> None:
    run = synthetic(cycles=(0,), length=200, layers=1).write()
    rows = {(r.direction, r.measure): r.value for r in topology.measure(run)}
    own = run.snapshots.at(0).layer(0).where("1>2", "target").vectors[np.linspace(0, 199, MOST_POINTS).astype(int)]
    assert rows["1>2", "h1_persistence"] == diagram(own).persistence()["h1_persistence"]


def test_a_run_without_its_first_cycle_has_no_distance(synthetic: Callable) -> None:
    rows = list(topology.measure(synthetic(cycles=(1, 2), layers=1).write()))
    assert len(rows) == 2 * 2 * 6
