from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from figures.legible import assert_legible, texts
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resonance.figures import concepts
from resonance.figures.save import save
from resonance.figures.style import LIGHT
from resonance.text.concepts import KINDS, ConceptGraph, Finder

Edge = tuple[int, int, float, str]


def graph(names: Sequence[str], sides: Sequence[str], edges: Sequence[Edge]) -> ConceptGraph:
    """Concepts by hand; `sides` says in which texts each occurs."""
    made = nx.Graph()
    made.add_nodes_from(range(len(names)))
    made.add_edges_from((one, other, {"weight": weight, "kind": kind}) for one, other, weight, kind in edges)
    where = tuple(dict.fromkeys(side, 1) for side in sides)
    return ConceptGraph(tuple(names), where, made, Finder((((0,),),) * len(names), (frozenset(), frozenset())))


def many(count: int, name: str) -> ConceptGraph:
    """A ring, with a chord from every fourth concept to the first."""
    ring: list[Edge] = [(i, (i + 1) % count, 1 / (i + 1), KINDS[i % len(KINDS)]) for i in range(count)]
    chords: list[Edge] = [(0, i, 0.3, "near") for i in range(4, count - 1, 4)]
    return graph([f"{name} {i}" for i in range(count)], ["12", "1", "2"] * (count // 3), ring + chords)


def lines(figure: Figure) -> list[Line2D]:
    return [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2]


def markers(figure: Figure) -> list[Line2D]:
    return [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]


THREE = graph(["memory", "Память", "sleep $5"], ["12", "1", "2"], [(0, 1, 1.0, "is-a"), (0, 2, 1.0, "near")])


def test_a_marker_and_a_name_per_concept_and_a_line_per_edge() -> None:
    figure = concepts.draw(THREE, "spacing")
    assert {"memory", "Память", "sleep $5"} <= {text for text, _ in texts(figure)}
    assert [line.get_marker() for line in markers(figure)] == ["o", "s", "D"]
    assert {to_hex(line.get_color()) for line in lines(figure)} == {
        concepts.LINES["is-a"].colour.lower(),
        LIGHT.lower(),
    }
    assert figure.get_label() == "3 concepts, 1 of them in both texts; the first are memory, Память and sleep $5"


def test_areas_are_proportional_to_ranks() -> None:
    figure = concepts.draw(THREE, "spacing")
    ranks = THREE.rank({})
    circle, square, _ = (line.get_markersize() for line in markers(figure))
    assert circle == pytest.approx(144 * concepts.RADIUS)
    assert square**2 / (np.pi * circle**2 / 4) == pytest.approx(ranks[1] / ranks[0])


def test_the_legend_names_what_is_drawn() -> None:
    assert {text for text, _ in texts(concepts.draw(THREE, "spacing"))} >= {
        *("in both texts", "in the article only", "in the meta-analysis only", "is a", "near in a sentence")
    }
    one = concepts.draw(graph(["memory"], ["12"], []), "spacing")
    assert not {"in the article only", "near in a sentence"} & {text for text, _ in texts(one)}


def test_a_marker_stands_where_its_lines_end() -> None:
    figure = concepts.draw(THREE, "spacing")
    places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in markers(figure)]
    for line in lines(figure):
        assert {*zip(line.get_xdata(), line.get_ydata(), strict=True)} <= set(places)


def test_what_is_told_is_drawn_and_of_what_is_near_the_strongest() -> None:
    near: list[Edge] = [(0, i, float(i), "near") for i in range(1, 5)]
    told: list[Edge] = [(5, i, 0.1, "part-of") for i in range(5)]
    made = graph("abcdef", ["12"] * 6, near + told)
    assert concepts.drawn_edges(made.graph, [5, 0, 1, 4]) == [
        *((0, 1, "part-of"), (0, 2, "part-of"), (0, 3, "part-of"), (1, 2, "near"), (1, 3, "near"))
    ]
    star = graph("abcdef", ["12"] * 6, [(0, 1, 9.0, "near"), (0, 2, 8.0, "near"), (1, 2, 7.0, "near"), *near[2:]])
    assert (0, 3, "near") in concepts.drawn_edges(star.graph, range(6))  # it is the strongest of the other end


def test_an_edge_that_is_weak_at_both_ends_is_not_drawn() -> None:
    made = graph("abcd", ["12"] * 4, [(one, other, one + other, "near") for one, other in combinations(range(4), 2)])
    assert concepts.drawn_edges(made.graph, range(4)) == [
        (one, other, "near") for one in (0, 1) for other in (2, 3)
    ] + [(2, 3, "near")]


def test_a_marker_and_its_name_share_a_box() -> None:
    figure = concepts.draw(graph(["memory"], ["12"], []), "spacing")
    (marker,) = markers(figure)
    (name,) = (text for text in figure.axes[0].texts if text.get_text() == "memory")
    top, below = marker.get_ydata()[0] - concepts.RADIUS, name.get_position()[1] + concepts.LINE / 2
    assert (top + below) / 2 == pytest.approx((concepts.HEIGHT - 0.1) / 2)
    assert below - top == pytest.approx(2 * concepts.RADIUS + concepts.LINE)


def test_strong_edges_are_short() -> None:
    places = concepts.layout(graph("abc", ["1"] * 3, [(0, 1, 4.0, "near"), (1, 2, 0.25, "near")]).graph, [0, 1, 2])
    near, far = (np.linalg.norm(places[a] - places[b]) for a, b in ((0, 1), (1, 2)))
    assert near < far / 2
    assert (places.min(), places.max()) == (0, 1)


@pytest.mark.parametrize("seed", range(4))
def test_boxes_of_the_widest_names_find_room_wherever_they_come_from(seed: int) -> None:
    size = np.array([7.04, concepts.HEIGHT - 0.1])
    widest = [concepts.WIDEST / 2, concepts.RADIUS + concepts.LINE / 2]
    boxes = np.array([widest] * concepts.MOST) + concepts.GAP
    meant = np.random.default_rng(seed).random((concepts.MOST, 2)) * size if seed else np.full((concepts.MOST, 2), 0.5)
    found = concepts.apart(meant, boxes, size)
    assert (found >= boxes - 1e-9).all()
    assert (found <= size - boxes + 1e-9).all()
    for (one, box), (other, reach) in combinations(zip(found, boxes, strict=True), 2):
        assert (np.abs(one - other) >= box + reach - 1e-6).any()


def test_the_nearest_free_place_is_taken() -> None:
    boxes, size = np.full((2, 2), 0.5), np.array([4.0, 4.0])
    found = concepts.apart(np.array([[1.0, 1.0], [1.9, 1.1]]), boxes, size)
    np.testing.assert_allclose(found, [[1.0, 1.0], [2.0, 1.1]], atol=concepts.GRID)
    full = concepts.apart(np.array([[0.5, 0.5], [0.6, 0.6]]), boxes, np.array([1.2, 1.2]))
    np.testing.assert_array_equal(full, [[0.5, 0.5], [0.6, 0.6]])  # no room: it stays


def test_what_has_room_is_not_moved() -> None:
    middles = np.array([[1.0, 1.0], [2.0, 1.0], [1.0, 2.0]])
    np.testing.assert_array_equal(concepts.apart(middles, np.full((3, 2), 0.4), np.array([3.0, 3.0])), middles)


@pytest.mark.parametrize(("count", "name"), [(3, "a"), (39, "a rather long phrase"), (300, "phrase")])
def test_it_is_legible(count: int, name: str) -> None:
    figure = concepts.draw(many(count, name), "spacing")
    assert len(markers(figure)) == min(count, concepts.MOST)
    assert_legible(figure)


@pytest.mark.parametrize(
    "made",
    [
        graph(["one"], ["1"], []),
        graph(["one", "two"], ["1", "2"], []),
        graph(["one", "two", "three"], ["1", "2", "12"], [(0, 1, 2.0, "near")]),
    ],
)
def test_few_concepts_and_none_joined(made: ConceptGraph) -> None:
    assert_legible(concepts.draw(made, "spacing"))


def test_without_concepts_it_says_so() -> None:
    figure = concepts.draw(graph([], [], []), "short")
    assert any("no word recurs" in text for text, _ in texts(figure))


def test_the_same_concepts_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(concepts.draw(many(9, "a"), "spacing"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
