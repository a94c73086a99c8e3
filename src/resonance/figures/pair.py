"""The pair itself: the segments of both texts, and which of them say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path

from resonance.figures.notice import notice
from resonance.figures.sheet import MARGIN, sheet, shortened
from resonance.figures.style import BLUE, GREY, INK, LIGHT, RC, SMALL, WIDTH, styled

Link = tuple[int, int]
"""A segment of text 1 and one of text 2 that say the same, from 0."""

SIDES = {"1": "article", "2": "meta-analysis"}
LABELLED = 60
"""With more segments than that there is no room for words, and only every tenth is numbered."""
TALL = 7.0
"""Height in inches of columns without words."""
BOX = 3.05
"""Width of a segment's box in inches; the rest of the width is for the links."""
BAR = 0.5
"""The same without words."""
NUMBER = 0.27
"""Inches of a box that the segment's number takes."""


@styled
def draw(tokens: pd.DataFrame, links: Sequence[Link], name: str) -> Figure:
    """Both texts as columns of segments from top to bottom, with a line for each link.

    Args:
        tokens: the table that `tokenize_pair` writes: text, position, piece, segment.
        links: of the pair, as in the facts of that table.
        name: of the pair.
    """
    texts = {side: tokens[tokens["text"].astype(str) == side].sort_values("position") for side in SIDES}
    segments = {side: segment_texts(text) for side, text in texts.items()}
    sizes = "; ".join(f"{SIDES[side]}: {len(text):,} tokens" for side, text in texts.items())
    if not all(segments.values()):
        return notice(f"The pair {name} ({sizes})", "it has no segments; list them in its segments.yaml.")
    most = max(map(len, segments.values()))
    words = most <= LABELLED
    row = 0.19 if words else TALL / most
    page = sheet(
        [""],
        title=(
            f"{len(segments['1'])} segments of the article, {len(segments['2'])} of the meta-analysis, "
            f"{len(links)} link{'' if len(links) == 1 else 's'} between them"
        ),
        subtitle=f"pair {name} · {sizes} · a line joins two segments that say the same",
        height=most * row + 0.25,
    )
    axes = page.panels[0]
    axes.set_axis_off()
    width = WIDTH - 2 * MARGIN
    axes.set_xlim(0, width)
    axes.set_ylim(most * row, -0.2)
    box = BOX if words else BAR
    edges = {"1": BOX - box, "2": width - BOX}
    for place, (side, left) in enumerate(edges.items()):
        linked = {link[place] for link in links}
        axes.text(left, -0.06, f"text {side}: {SIDES[side]}", size=SMALL + 0.5, weight="bold")
        if words:
            _boxes(axes, segments[side], linked, left, row)
        else:
            outside = left - 0.06 if side == "1" else left + BAR + 0.3
            _bars(axes, len(segments[side]), linked, left, row, outside)
    for first, second in links:
        _link(axes, (BOX, (first + 0.5) * row), (width - BOX, (second + 0.5) * row))
    return page.figure


def segment_texts(tokens: pd.DataFrame) -> list[str]:
    """The words of each segment of one text, joined from the pieces of its tokens; empty without segments."""
    inside = tokens[tokens["segment"] >= 0]
    joined = inside.groupby("segment", sort=True)["piece"].agg("".join)
    return [" ".join(_whole(text).split()) for text in joined]


def _whole(text: str) -> str:
    r"""Parts of characters, which a piece shows as '\xd0', put together again."""
    return re.sub(
        r"(?:\\x[0-9a-f]{2})+",
        lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode("utf-8", errors="replace"),
        text,
    )


def _boxes(axes: Axes, texts: list[str], linked: set[int], left: float, row: float) -> None:
    """One box per segment with its first words; those without a link are pale."""
    for number, text in enumerate(texts):
        known = number in linked
        axes.add_patch(
            FancyBboxPatch(
                (left, (number + 0.12) * row),
                BOX,
                0.76 * row,
                boxstyle="round,pad=0,rounding_size=0.02",
                facecolor="#e8f1f8" if known else "white",
                edgecolor=BLUE if known else LIGHT,
                linewidth=0.5,
            )
        )
        middle = (number + 0.54) * row
        axes.text(left + NUMBER - 0.06, middle, f"{number + 1}", size=SMALL - 0.5, color=GREY, ha="right", va="center")
        words = shortened(drawable(text), BOX - NUMBER - 0.05, SMALL, end=False)
        axes.text(left + NUMBER, middle, words, size=SMALL, color=INK if known else GREY, va="center")


def _bars(axes: Axes, count: int, linked: set[int], left: float, row: float, outside: float) -> None:
    """One bar per segment, every tenth numbered at `outside`."""
    for number in range(count):
        colour = BLUE if number in linked else LIGHT
        axes.add_patch(Rectangle((left, (number + 0.15) * row), BAR, 0.7 * row, color=colour, linewidth=0))
        if number % 10 == 9:
            middle = (number + 0.5) * row
            axes.text(outside, middle, f"{number + 1}", size=SMALL - 0.5, color=GREY, ha="right", va="center")


def _link(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A curve that leaves and arrives horizontally, so that crossings can be followed."""
    middle = (start[0] + end[0]) / 2
    curve = Path(
        np.array([start, (middle, start[1]), (middle, end[1]), end]),
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
    axes.add_patch(PathPatch(curve, facecolor="none", edgecolor=BLUE, linewidth=1.0, alpha=0.75))


def drawable(text: str) -> str:
    """`text` with a ▯ for each character that the font of the figures lacks, so that every machine draws the same."""
    known = _characters()
    return "".join(letter if ord(letter) in known else "▯" for letter in text)


@cache
def _characters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=RC["font.family"]))).get_charmap())
