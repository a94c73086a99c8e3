"""How all figures look: one font, one width, one colour, dash and marker per direction.

The colours are those of Okabe and Ito (Color Universal Design, 2008), which people with any form of colour blindness
can tell apart. Dash and marker say the same again, so that a figure also reads in grey.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH = 7.2
"""Width of every figure in inches; about 700 px in the report."""

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
INK, GREY, LIGHT = "#1a1a1a", "#5f5f5f", "#d9d9d9"

TITLE, TEXT, SMALL = 11.0, 8.5, 7.5
"""Font sizes in points."""

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "text.color": INK,
    "text.usetex": False,
    "text.parse_math": False,
    "mathtext.fontset": "dejavusans",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT,
    "axes.titlesize": TEXT + 0.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.6,
    "legend.frameon": False,
    "legend.fontsize": TEXT,
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
    "svg.fonttype": "path",
    "svg.hashsalt": "resonance",
    "svg.image_inline": True,
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
}


@dataclass(frozen=True)
class Mark:
    """Colour, dash and marker of one kind of line, and what the legend calls it."""

    colour: str
    dash: Any
    marker: str
    label: str


SOLID, DASHED, MIXED, DOTTED = "-", (0, (5, 1.6)), (0, (4, 1.5, 1, 1.5)), (0, (1.2, 1.2))

DIRECTIONS: dict[str, Mark] = {
    "1>2": Mark(BLUE, SOLID, "o", "1→2"),
    "2>1": Mark(VERMILLION, DASHED, "s", "2→1"),
    "1>1": Mark(GREEN, MIXED, "^", "1→1"),
    "2>2": Mark(PURPLE, DOTTED, "D", "2→2"),
}
"""The four directions in the order in which every legend names them."""

DIRECTION_NOTE = "input → target; 1 = article, 2 = meta-analysis"

COLOURS = (BLACK, ORANGE, SKY, GREEN, VERMILLION, BLUE)
DASHES: tuple[Any, ...] = (SOLID, DASHED, MIXED, DOTTED, (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def series(labels: Iterable[str]) -> dict[str, Mark]:
    """One mark per label, for lines that are not directions: prefix lengths, probes, learners.

    Colours, dashes and markers take turns at different lengths, so the first 210 labels look different.
    """
    return {
        label: Mark(COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)], label)
        for i, label in enumerate(labels)
    }


@contextmanager
def applied() -> Iterator[None]:
    """The style of this package and nothing of the user's matplotlibrc."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A `draw` function that always draws in this style."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with applied():
            return draw(*args, **kwargs)

    return wrapper
