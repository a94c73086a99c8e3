"""What a reader may ask of any figure, checked without eyes: nothing is cut off, no text lies on another."""

from __future__ import annotations

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from resonance.figures.style import applied


def assert_legible(figure: Figure) -> None:
    """All texts lie inside the figure and none overlaps another; 7.2 inches wide."""
    assert figure.get_figwidth() == 7.2
    boxes = texts(figure)
    assert boxes
    # a hair more than the figure: pixels are fitted to a grid
    width, height = figure.bbox.width + 2, figure.bbox.height + 2
    cut = [text for text, box in boxes if box.x0 < -2 or box.y0 < -2 or box.x1 > width or box.y1 > height]
    assert not cut, f"cut off: {cut}"
    on_another = [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if overlap(one, other)]
    assert not on_another, f"one on another: {on_another}"


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is drawn, with its box in pixels."""
    with applied():
        canvas = FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        hidden = unseen(figure)
        found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        found = [text for text in found if id(text) not in hidden]
        return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in found]


def unseen(figure: Figure) -> set[int]:
    """Ids of the tick labels that are not drawn: spare ones, those beyond the limits, all of an axis that is off."""
    found = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            current = {id(text) for text in axis.get_ticklabels(which="both")} if axes.axison else set()
            for tick in [*axis.majorTicks, *axis.minorTicks]:
                for label in (tick.label1, tick.label2):
                    if id(label) not in current or not low <= tick.get_loc() <= high:
                        found.add(id(label))
    return found


def overlap(one: Bbox, other: Bbox) -> bool:
    """More than a pixel in both directions: letters have room inside their boxes."""
    shared = Bbox.intersection(one, other)
    return shared is not None and shared.width > 1 and shared.height > 1
