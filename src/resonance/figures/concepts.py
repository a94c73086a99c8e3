"""The concepts of a pair: what the two texts name, and how it hangs together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resonance.figures import style
from resonance.figures.notice import notice
from resonance.figures.pair import drawable
from resonance.figures.sheet import MARGIN, sheet, shortened, text_width
from resonance.figures.style import SMALL, WIDTH, Mark, styled
from resonance.text.concepts import KINDS, ConceptGraph

Points = NDArray[np.float64]
"""Places or sizes in inches, [N, 2]: across, down."""

Edge = tuple[int, int, str]
"""Two concepts, by their place among those that are drawn, and the kind of line."""

MOST = 36
"""Concepts that are drawn; there is no room for more names."""
STRONGEST = 2
"""Lines that tell nothing but nearness, for each concept."""
HEIGHT = 6.0
"""Of the panel in inches."""
WIDEST = 1.5
"""Of a name in inches."""
LINE = 0.13
"""Height of a name in inches."""
RADIUS = 0.1
"""Of the first concept in inches; areas are proportional to ranks."""
GAP = 0.03
"""Inches kept free around a concept and its name."""
GRID = 0.05
"""Inches between the places to which a name may have to move."""
BACKING = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.4}
"""Behind a name, so that lines do not cross it out."""

WHERE = {
    "12": Mark(style.BLACK, "none", "o", "in both texts"),
    "1": Mark(style.BLUE, "none", "s", "in the article only"),
    "2": Mark(style.ORANGE, "none", "D", "in the meta-analysis only"),
}
LINES = {
    "is-a": Mark(style.VERMILLION, style.SOLID, "", "is a"),
    "part-of": Mark(style.GREEN, style.DASHED, "", "of, part of"),
    "alias": Mark(style.PURPLE, style.MIXED, "", "also called"),
    "year": Mark(style.SKY, style.DOTTED, "", "in the year"),
    "within": Mark(style.GREY, (0, (2, 1)), "", "word of a phrase"),
    "near": Mark(style.LIGHT, style.SOLID, "", "near in a sentence"),
}


@styled
def draw(concepts: ConceptGraph, name: str) -> Figure:
    """The concepts that come first by PageRank: area by rank, colour and marker by text, lines by what joins them.

    Args:
        concepts: of the pair, as `resonance.text.concepts.concept_graph` finds them.
        name: of the pair.
    """
    if not concepts.names:
        return notice(f"The concepts of the pair {name}", "no word recurs in its two texts, and none is a name.")
    ranks = concepts.rank({})
    shown = np.argsort(-ranks, kind="stable")[:MOST].tolist()
    labels = [shortened(drawable(concepts.names[one]), WIDEST, SMALL) for one in shown]
    marks = [WHERE["".join(sorted(concepts.texts[one]))] for one in shown]
    edges = drawn_edges(concepts.graph, shown)
    both = sum(len(texts) == 2 for texts in concepts.texts)
    page = sheet(
        [""],
        title=f"{len(ranks)} concepts, {both} of them in both texts; the first are {_listed(labels[:3])}",
        subtitle=(
            f"pair {name} · {f'the first {MOST} concepts' if len(ranks) > MOST else 'all concepts'} · area: PageRank · "
            f"lines: whatever the texts tell, and of mere nearness the {STRONGEST} strongest of each concept"
        ),
        legend=[mark for mark in WHERE.values() if mark in marks]
        + [LINES[kind] for kind in KINDS if any(edge[2] == kind for edge in edges)],
        height=HEIGHT,
    )
    axes = page.panels[0]
    axes.set_axis_off()
    size = np.array([WIDTH - 2 * MARGIN, HEIGHT - 0.1])
    axes.set_xlim(0, size[0])
    axes.set_ylim(size[1], 0)
    radii = RADIUS * np.sqrt(ranks[shown] / ranks[shown[0]])
    # a box holds a marker and the name below it
    widths = np.array([text_width(label, SMALL) for label in labels])
    boxes = np.stack([np.maximum(widths / 2, radii), radii + LINE / 2], axis=1)
    middles = apart(layout(concepts.graph, shown) * size, boxes + GAP, size)
    markers = middles - [0, LINE / 2]
    _draw_edges(axes, edges, markers)
    for (across, down), radius, mark, label in zip(markers, radii, marks, labels, strict=True):
        # a square of the same area has a shorter side than the circle is wide
        points = 144 * radius * (1 if mark.marker == "o" else math.sqrt(math.pi) / 2)
        axes.plot(across, down, mark.marker, color=mark.colour, markersize=points, markeredgewidth=0, zorder=4)
        below = down + radius + LINE / 2
        axes.text(across, below, label, size=SMALL, ha="center", va="center", zorder=3, bbox=BACKING)
    return page.figure


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def drawn_edges(graph: nx.Graph, shown: Sequence[int]) -> list[Edge]:
    """Between concepts that are drawn: all relations, and of nearness what is among the strongest of either end."""
    place = {one: number for number, one in enumerate(shown)}
    found: set[Edge] = set()
    for one in shown:
        ends = [other for other in graph[one] if other in place]
        ends.sort(key=lambda other: (-graph[one][other]["weight"], place[other]))
        near = [other for other in ends if graph[one][other]["kind"] == "near"][:STRONGEST]
        for other in [other for other in ends if graph[one][other]["kind"] != "near"] + near:
            first, second = sorted((place[one], place[other]))
            found.add((first, second, graph[one][other]["kind"]))
    return sorted(found)


def layout(graph: nx.Graph, shown: Sequence[int]) -> Points:
    """Places between 0 and 1, [N, 2], by Kamada and Kawai (1989): strong edges are short.

    The length of an edge is 1 / sqrt(weight); what no path joins is half as far again as the farthest that one does.
    """
    near = nx.Graph()
    near.add_nodes_from(shown)
    near.add_edges_from(
        (one, other, {"length": weight**-0.5}) for one, other, weight in graph.subgraph(shown).edges(data="weight")
    )
    lengths = dict(nx.all_pairs_dijkstra_path_length(near, weight="length"))
    far = 1.5 * max((length for row in lengths.values() for length in row.values()), default=1.0) or 1.0
    lengths = {one: {other: lengths[one].get(other, far) for other in shown} for one in shown}
    found = nx.kamada_kawai_layout(near, dist=lengths)
    places = np.array([found[one] for one in shown])
    low, high = places.min(axis=0), places.max(axis=0)
    return np.where(high > low, (places - low) / np.where(high > low, high - low, 1), 0.5)


def apart(middles: Points, boxes: Points, size: Points) -> Points:
    """`middles` moved so that boxes (half widths, half heights) lie on a page and do not overlap.

    One after the other goes to the nearest free place, its own or one of a grid; where there is none, it stays. So the
    first ones stand where they are meant to, and MOST boxes of WIDEST find room wherever they come from.
    """
    rows = [np.arange(0, length, GRID) for length in size]
    grid = np.stack(np.meshgrid(*rows), axis=-1).reshape(-1, 2)
    placed = np.empty((0, 2))
    for middle, box in zip(middles, boxes, strict=True):
        own = np.clip(middle, box, size - box)
        places = np.concatenate([own[None], grid])
        free = ((places >= box) & (places <= size - box)).all(axis=1)
        for other, reach in zip(placed, boxes[: len(placed)] + box, strict=True):
            free &= (np.abs(places - other) >= reach - 1e-9).any(axis=1)
        ways = np.where(free, ((places - middle) ** 2).sum(axis=1), np.inf)
        placed = np.vstack([placed, places[ways.argmin()] if free.any() else own])
    return placed


def _draw_edges(axes: Axes, edges: Sequence[Edge], markers: Points) -> None:
    """What is told lies above what is near."""
    for first, second, kind in sorted(edges, key=lambda edge: -KINDS.index(edge[2])):
        mark = LINES[kind]
        across, down = markers[[first, second]].T
        width = 0.8 if kind == "near" else 1.3
        axes.plot(across, down, color=mark.colour, linestyle=mark.dash, linewidth=width, zorder=1 + (kind != "near"))
