"""The page of a figure: a title that may wrap, a line below it, a legend, and panels that never run into them.

Text is measured with its font before it is placed, so nothing overlaps whatever a learner is called.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath

from resonance.figures.style import GREY, RC, SMALL, TEXT, TITLE, WIDTH, Mark

MARGIN = 0.08
"""Inches around everything."""

UNBROKEN = "\u00a0"
"""A blank at which no line is broken."""

Group = tuple[str, Sequence[Mark]]
"""A heading and the kinds of line below it."""

Share = Literal["col"] | bool

_MEASURE = TextToPath()


@dataclass(frozen=True)
class Sheet:
    """A figure and its panels, row by row.

    Attributes:
        figure: the figure.
        panels: the panels that hold something, in reading order.
        columns: panels per row.
        frame: inches of a panel's width that ticks and labels take.
        strip: left, bottom, width and height of what was kept free above the panels, in shares of the figure.
    """

    figure: Figure
    panels: list[Axes]
    columns: int
    frame: float
    strip: tuple[float, float, float, float]

    def bottom(self) -> list[Axes]:
        """The lowest panel of each column."""
        return self.panels[-self.columns :]

    def label(self, across: str, up: str = "") -> None:
        """Name the axes once for all panels; each with its unit. Without `up`, each panel names its own."""
        if not up:
            self.figure.supxlabel(across, size=TEXT)
            return
        layout = self.figure.get_layout_engine()
        assert layout is not None
        top = layout.get()["rect"][3]
        self.figure.supxlabel(across, size=TEXT)
        lines = wrapped(up, 0.9 * top * self.figure.get_figheight(), TEXT)
        self.figure.supylabel("\n".join(lines), size=TEXT, y=top / 2)

    def corner(self, panel: Axes, *texts: str) -> None:
        """A few words at the upper right of a panel: the first of `texts` for which its title leaves the room."""
        room = (
            WIDTH / self.columns - self.frame - 0.15 - text_width(panel.get_title("left"), RC["axes.titlesize"], "bold")
        )
        for text in texts:
            if text_width(text, SMALL) < room:
                panel.set_title(text, loc="right", size=SMALL, color=GREY)
                return


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of one line of text in the font of the figures."""
    font = FontProperties(family=RC["font.family"], size=size, weight=weight)
    width, _, _ = _MEASURE.get_text_width_height_descent(text, font, ismath=False)
    # pixels are fitted to a grid, which makes a line up to 3 % wider than its outlines
    return float(width) / 72 * 1.03


def wrapped(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """`text` as the fewest lines that are at most `width` inches wide, of much the same length; long words are cut."""
    lines = _greedy(text, width, size, weight)
    for step in range(1, 8 if len(lines) > 1 else 1):
        narrower = _greedy(text, width * (1 - step / 16), size, weight)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def _greedy(text: str, width: float, size: float, weight: str) -> list[str]:
    """Each line takes as many words as it can."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        tried = f"{line} {word}".strip()
        if line and text_width(tried, size, weight) > width:
            lines.append(line)
            tried = word
        line = shortened(tried, width, size, weight)
    return [*lines, line]


def shortened(text: str, width: float, size: float, weight: str = "normal", end: bool = True) -> str:
    """`text`, or as much of it as fits `width` inches: with its end, as names need it, or without, as sentences do."""
    if text_width(text, size, weight) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        tail = text[len(text) - kept // 2 :] if end else ""
        short = f"{text[: (kept + 1) // 2 if end else kept].rstrip()}…{tail}"
        if text_width(short, size, weight) <= width:
            return short
    return "…"


def of(value: str, name: str) -> str:
    """`0.01 (gpt)`, never broken between the two."""
    return f"{value}{UNBROKEN}({name})"


def columns_for(count: int) -> int:
    """Panels per row, so that a grid is neither a column nor a tape and a panel is never too narrow to be read."""
    if count <= 3:
        return max(count, 1)
    if count == 4:
        return 2
    return 3 if count in (5, 6, 9) else 4


def sheet(
    names: Sequence[str],
    *,
    title: str,
    subtitle: str,
    legend: Sequence[Mark] = (),
    note: str = "",
    groups: Sequence[Group] = (),
    strip: float = 0.0,
    columns: int | None = None,
    height: float | None = None,
    share: Share = True,
    frame: float | None = None,
) -> Sheet:
    """A grid of panels, one per name, below a header.

    Args:
        names: titles of the panels; an empty name gives a panel without a title.
        title: what is seen, in one sentence.
        subtitle: what it was drawn from.
        legend: the kinds of line, once for all panels.
        note: said before the legend.
        groups: headings above the columns of panels, each with a legend; they stand below the common legend.
        strip: inches kept free between legend and panels, for a colour scale.
        columns: panels per row; chosen by their number when None.
        height: of one panel in inches; chosen by the columns when None.
        share: all panels have the same axes, or each column has, or each panel has its own.
        frame: inches of a panel's width that ticks and labels take; less where axes are shared.
    """
    columns = columns or columns_for(len(names))
    frame = frame or (0.3 if share is True else 0.5)
    rows = math.ceil(len(names) / columns)
    height = height or {1: 3.2, 2: 2.2, 3: 1.8}.get(columns, 1.55)
    heading = _Heading(title, subtitle, list(legend), note, list(groups))
    above = heading.height + strip
    total = above + rows * height + MARGIN
    figure = Figure(
        label=title.replace(UNBROKEN, " "),
        figsize=(WIDTH, total),
        layout=ConstrainedLayoutEngine(
            rect=(0, 0, 1, 1 - above / total), w_pad=0.05, h_pad=0.05, wspace=0.02, hspace=0.04
        ),
    )
    heading.place(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    panels = list(grid.flat)
    for spare in panels[len(names) :]:
        spare.remove()
    panels = panels[: len(names)]
    for name, axes in zip(names, panels, strict=True):
        axes.set_title(
            shortened(name, WIDTH / columns - frame, RC["axes.titlesize"], "bold"), loc="left", weight="bold"
        )
        axes.tick_params(labelbottom=True)
    made = Sheet(figure, panels, columns, frame, (0.0, 1 - above / total, 1.0, strip / total))
    if share:
        for axes in set(panels) - set(made.bottom()):
            axes.tick_params(labelbottom=False, bottom=False)
    if share is True:
        for axes in set(panels) - set(panels[::columns]):
            axes.tick_params(left=False)
    return made


def handle(mark: Mark) -> Line2D:
    """What stands for a kind of line in a legend."""
    return Line2D([], [], color=mark.colour, linestyle=mark.dash, marker=mark.marker, label=mark.label)


class _Heading:
    """Title, subtitle and legends, and how many inches they need."""

    def __init__(self, title: str, subtitle: str, legend: list[Mark], note: str, groups: list[Group]) -> None:
        room = WIDTH - 2 * MARGIN
        self.title = wrapped(title, room, TITLE, "bold")
        self.subtitle = wrapped(subtitle, room, TEXT)
        self.note = note
        self.legend = legend
        self.groups = groups
        # an entry is its label, a handle of 2.8 em and the gaps around them
        widest = max((text_width(mark.label, TEXT) for mark in legend), default=0.0) + 5.4 * TEXT / 72
        fitting = int((room - text_width(note, TEXT)) / widest) if note else int(room / widest)
        self.columns = max(1, min(len(legend), fitting))
        self.rows = math.ceil(len(legend) / self.columns)
        self.group_rows = max((len(marks) for _, marks in groups), default=-1) + 1

    @property
    def height(self) -> float:
        lines = len(self.title) * TITLE * 1.3 + len(self.subtitle) * TEXT * 1.35
        return MARGIN + (lines + (self.rows + self.group_rows) * TEXT * 1.75) / 72 + 0.06

    def place(self, figure: Figure) -> None:
        total = float(figure.get_figheight())
        left = MARGIN / WIDTH
        top = total - MARGIN
        figure.text(left, top / total, "\n".join(self.title), size=TITLE, weight="bold", va="top", linespacing=1.15)
        top -= len(self.title) * TITLE * 1.3 / 72
        figure.text(left, top / total, "\n".join(self.subtitle), size=TEXT, color=GREY, va="top", linespacing=1.2)
        top -= len(self.subtitle) * TEXT * 1.35 / 72
        if self.legend:
            if self.note:
                # the legend's first line of text lies lower by its frame's padding and half the difference in height
                figure.text(left, (top - 0.62 * TEXT / 72) / total, self.note, size=TEXT, color=GREY, va="top")
                left += text_width(self.note, TEXT) / WIDTH
            # matplotlib fills a legend column by column, a reader reads it row by row
            order = [row * self.columns + column for column in range(self.columns) for row in range(self.rows)]
            marks = [self.legend[place] for place in order if place < len(self.legend)]
            _legend(figure, marks, (left, top / total), self.columns)
            top -= self.rows * TEXT * 1.75 / 72
        for place, (name, group) in enumerate(self.groups):
            start = (0.5 + place * (WIDTH - 0.5) / len(self.groups)) / WIDTH
            below = top - 0.5 * TEXT / 72
            figure.text(start, below / total, name, size=TEXT, weight="bold", va="top")
            if group:
                _legend(figure, group, (start - 0.03 / WIDTH, (below - 1.3 * TEXT / 72) / total), 1)


def _legend(figure: Figure, marks: Sequence[Mark], corner: tuple[float, float], columns: int) -> None:
    """A legend whose upper left corner is at `corner` (shares of the figure), outside the layout of the panels."""
    handles: list[Artist] = [handle(mark) for mark in marks]
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=corner,
        ncols=columns,
        handlelength=2.8,
        columnspacing=1.4,
        handletextpad=0.6,
        borderpad=0.3,
        borderaxespad=0.5,
        labelspacing=0.35,
    )
    legend.set_in_layout(False)
