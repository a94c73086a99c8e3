"""A figure that says why there is nothing to show."""

from __future__ import annotations

from matplotlib.figure import Figure

from resonance.figures.sheet import MARGIN, wrapped
from resonance.figures.style import GREY, LIGHT, TEXT, TITLE, WIDTH, styled

NOTHING = ": nothing to show: "
"""Between subject and reason in the title of the file, by which a report knows a notice from a figure."""


@styled
def notice(title: str, why: str) -> Figure:
    """A panel of text: the figure's subject, and in one sentence why it is empty and what would fill it."""
    room = WIDTH - 6 * MARGIN
    heading = wrapped(title, room, TITLE, "bold")
    lines = wrapped(f"Nothing to show: {why}", room, TEXT)
    heights = [len(heading) * TITLE * 1.3 / 72, len(lines) * TEXT * 1.35 / 72]
    total = sum(heights) + 8 * MARGIN
    figure = Figure(figsize=(WIDTH, total), linewidth=1.0, edgecolor=LIGHT, label=f"{title}{NOTHING}{why}")
    left = 3 * MARGIN / WIDTH
    figure.text(left, 1 - 3 * MARGIN / total, "\n".join(heading), size=TITLE, weight="bold", va="top", linespacing=1.15)
    top = total - 4 * MARGIN - heights[0]
    figure.text(left, top / total, "\n".join(lines), size=TEXT, color=GREY, va="top", linespacing=1.2)
    return figure
