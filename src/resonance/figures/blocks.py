"""Several panels per learner, side by side: one learner per row, or of many learners two or three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resonance.figures.sheet import Group, sheet, shortened
from resonance.figures.style import RC, SMALL, WIDTH, Mark

FEW, MOST = 4, 6
"""Up to so many learners have a row each; beyond, a row holds up to so many panels."""
FRAME = 0.5
"""Inches of a panel's width that ticks and labels take."""
PLACES: Mapping[int, tuple[str, ...]] = {1: ("",), 2: ("left", "right"), 3: ("left", "middle", "right")}


@dataclass(frozen=True)
class Column:
    """One of the panels that every learner has: what it is about, the unit of its vertical axis, its kinds of line."""

    heading: str
    unit: str
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class Blocks:
    """A figure, the panels of each learner in the order of the columns, and how many learners stand in a row."""

    figure: Figure
    of: Mapping[str, list[Axes]]
    abreast: int

    @property
    def ticks(self) -> int:
        """How many labels the horizontal axis of a panel has room for."""
        return 3 if self.abreast == 1 else 2


def blocks(
    names: Sequence[str],
    columns: Sequence[Column],
    *,
    title: str,
    subtitle: str,
    across: str,
    legend: Sequence[Mark] = (),
    note: str = "",
) -> Blocks:
    """A grid in which each learner has one panel per column; a column has the same axes for all learners.

    A learner's name is the title of its first panel. One learner per row: panels name their units. Several: there is no
    room for that, so the headings say which panel is which and the line below the title says the units.

    Args:
        names: the learners.
        columns: two or three.
        title: what is seen, in one sentence.
        subtitle: what it was drawn from.
        across: name of the horizontal axis; empty where each panel names its own.
        legend: the kinds of line, once for all columns; else each column has its own, below its heading.
        note: said before the legend.
    """
    k = len(columns)
    abreast = 1 if len(names) <= FEW else MOST // k
    if abreast > 1:
        units = [f"{place} {column.unit}" for place, column in zip(PLACES[k], columns, strict=True)]
        same = len({column.unit for column in columns}) == 1
        subtitle = f"{subtitle} · up: {columns[0].unit if same else ', '.join(units)}"
    groups: list[Group] = [
        (f"{place}: {column.heading}" if abreast > 1 else column.heading, list(column.marks))
        for place, column in zip(PLACES[k], columns, strict=True)
    ]
    page = sheet(
        [name if place == 0 else "" for name in names for place in range(k)],
        title=title,
        subtitle=subtitle,
        legend=legend,
        note=note,
        groups=groups,
        columns=k * abreast,
        height=1.1 if abreast > 1 else 1.75 if k == 3 or len(names) > 2 else 2.3,
        share=False,
        frame=FRAME,
    )
    panels = {name: page.panels[k * place : k * (place + 1)] for place, name in enumerate(names)}
    lowest = page.bottom()
    for place, axes in enumerate(page.panels):
        if place >= k:
            axes.sharex(page.panels[place % k])
            axes.sharey(page.panels[place % k])
        if axes not in lowest:
            axes.tick_params(labelbottom=False, bottom=False)
    for name, own in panels.items():
        # nothing stands above a learner's other panels, so that its name may run on there
        room = WIDTH / abreast - FRAME
        own[0].set_title(shortened(name, room, RC["axes.titlesize"], "bold"), loc="left", weight="bold")
    if abreast == 1:
        for own in panels.values():
            for axes, column in zip(own, columns, strict=True):
                axes.set_ylabel(column.unit, size=SMALL)
    if across:
        page.label(across)
    return Blocks(page.figure, panels, abreast)
