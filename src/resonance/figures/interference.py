"""What one more step on one direction does to the loss of the others: a matrix per learner and chunk edge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from resonance.figures.cycles import in_cycles, short
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, learners, rows
from resonance.figures.sheet import MARGIN, Sheet, of, sheet, shortened, text_width
from resonance.figures.style import BLUE, DIRECTIONS, GREY, INK, LIGHT, RC, TEXT, VERMILLION, WIDTH, styled

CHANGE, OWN = "transfer_net", "transfer_own_net"
ORDER = tuple(DIRECTIONS)
MAP = LinearSegmentedColormap.from_list("help_harm", [BLUE, "#ffffff", VERMILLION])
FRAME = 0.42
CELL = 6.5
"""Points of the numbers in the cells."""


@styled
def draw(tables: Tables) -> Figure:
    """One matrix per learner and chunk edge: row i is a step on direction i, column j the loss whose change is shown.

    Change of the loss of j per gain of the step's own direction, |dL_i|; the diagonal is dL_i itself in nat/token.
    Three learners or fewer have up to four edges, eight or fewer the first and the last, more of them the last one.

    Args:
        tables: family `transfer`: `transfer` (condition `after:<i>`, direction j) and `transfer_own` (direction i);
            means over seeds. A cell without a number is hatched.
    """
    table = rows(tables, "transfer", measure=[CHANGE, OWN])
    if not (table["measure"] == CHANGE).any():
        why = f"the table transfer holds no {CHANGE}: no learner is trained, or `evaluation.transfer` is off."
        return notice("Interference between the directions", why)
    table = table[table["learner"].isin(table.loc[table["measure"] == CHANGE, "learner"])]
    names = learners(table)
    edges = chosen(sorted(int(cycle) for cycle in table["cycle"].unique()), len(names))
    columns = len(edges) if len(edges) in (3, 4) else 4
    columns = min(columns, len(names) * len(edges))
    page = sheet(
        [_title(name, edge, len(edges), columns) for name in names for edge in edges],
        title=headline(table[table["cycle"] == edges[-1]]),
        subtitle=f"{describe(table, spread=False)} · diagonal: change of the own loss (nat/token) · hatched: no number"
        + (f" · all after {in_cycles(edges[0])}" if len(edges) == 1 else ""),
        strip=0.45,
        columns=columns,
        height=1.75 if columns > 2 else 2.4,
        share=False,
        frame=FRAME,
    )
    panels = iter(page.panels)
    for name in names:
        own = table[table["learner"] == name]
        for edge in edges:
            _matrix(next(panels), own[own["cycle"] == edge])
    _scale(page)
    page.label("direction whose loss is looked at", "direction of the step")
    return page.figure


def chosen(edges: Sequence[int], count: int) -> list[int]:
    """Which chunk edges are drawn of so many learners: some four that lie evenly, the first and the last, the last."""
    if count > 8:
        return [edges[-1]]
    places = np.linspace(0, len(edges) - 1, min(4 if count <= 3 else 2, len(edges)))
    return [edges[round(float(place))] for place in places]


def cells(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Changes [4, 4] with NaN on the diagonal and where there is none, and own changes [4]; means over seeds."""
    changes = table[table["measure"] == CHANGE]
    grid = changes.pivot_table(index="condition", columns="direction", values="value", aggfunc="mean")
    grid = grid.reindex(index=[f"after:{name}" for name in ORDER], columns=list(ORDER))
    own = table[table["measure"] == OWN].groupby("direction")["value"].mean().reindex(list(ORDER))
    return grid.to_numpy(float), own.to_numpy(float)


def headline(table: pd.DataFrame) -> str:
    """What a step does to the other targets of the same input, learner by learner: the range."""
    found = {}
    for name in learners(table):
        grid, _ = cells(table[table["learner"] == name])
        same = [grid[ORDER.index(i), ORDER.index(j)] for i in ORDER for j in ORDER if i != j and i[0] == j[0]]
        if np.isfinite(same).any():
            found[name] = float(np.nanmean(same))
    says = "of its own gain"
    if not found:
        return "What a step on one direction does to the loss of the others"
    least, most = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    if len(found) == 1:
        return f"{most}: a step changes the loss of the other target of its input by {in_cell(found[most])} {says}"
    return (
        f"A step changes the loss of the other target of its input by {of(in_cell(found[least]), least)} "
        f"to {of(in_cell(found[most]), most)} {says}"
    )


def in_cell(value: float) -> str:
    """+0.31, −1.2, +12, +3k: a signed number of at most five characters."""
    size = abs(value)
    if size >= 999.5:
        text = f"{'-' if value < 0 else '+'}{short(float(f'{size:.1g}'))}"
    else:
        text = f"{value:+.0f}" if size >= 9.95 else f"{value:+.1f}" if size >= 0.995 else f"{value:+.2f}"
    return text.replace("-", "−")


def in_nat(value: float) -> str:
    """A change of loss in a cell: as `in_cell`, and −9e−5 where that would say 0."""
    if value == 0 or abs(value) >= 0.005:
        return in_cell(value)
    return f"{value:+.0e}".replace("e-0", "e-").replace("-", "−")


def _title(name: str, edge: int, edges: int, columns: int) -> str:
    """`gpt: 16`; of a long name as much as there is room for, so that the cycle always stands there."""
    if edges == 1:
        return name
    tail = f": cycle {short(edge)}"
    room = WIDTH / columns - FRAME - text_width(tail, RC["axes.titlesize"], "bold")
    return f"{shortened(name, room, RC['axes.titlesize'], 'bold')}{tail}"


def _matrix(axes: Axes, table: pd.DataFrame) -> None:
    grid, own = cells(table)
    for i in range(4):
        for j in range(4):
            value = own[i] if i == j else grid[i, j]
            colour = LIGHT if i == j else MAP((np.clip(value, -1, 1) + 1) / 2) if np.isfinite(value) else "white"
            hatch = None if np.isfinite(value) else "/////"
            axes.add_patch(
                Rectangle((j, i), 1, 1, facecolor=colour, edgecolor=GREY if hatch else "white", hatch=hatch, lw=0.6)
            )
            if np.isfinite(value):
                ink = "white" if i != j and abs(value) > 0.6 else INK
                text = in_nat(value) if i == j else in_cell(value)
                axes.text(j + 0.5, i + 0.5, text, size=CELL, color=ink, ha="center", va="center")
    axes.set_xlim(0, 4)
    axes.set_ylim(4, 0)
    axes.grid(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([0.5, 1.5, 2.5, 3.5]))
        axis.set_minor_locator(NullLocator())
        axis.set_ticklabels([mark.label for mark in DIRECTIONS.values()])
    axes.tick_params(length=0)


def _scale(page: Sheet) -> None:
    """The colour scale, in the strip above the panels."""
    left, bottom, _, height = page.strip
    says = "change of the other loss per gain of the step's own (blue: helps, red: harms):"
    page.figure.text(left + MARGIN / WIDTH, bottom + 0.62 * height, says, size=TEXT, color=GREY, va="center")
    start = (MARGIN + text_width(says, TEXT) + 0.15) / WIDTH
    axes = page.figure.add_axes((start, bottom + 0.5 * height, 0.95 - start, 0.24 * height))
    axes.set_in_layout(False)
    bar = page.figure.colorbar(ScalarMappable(Normalize(-1, 1), MAP), cax=axes, orientation="horizontal")
    bar.ax.xaxis.set_major_locator(FixedLocator([-1, 0, 1]))
    bar.ax.set_xticklabels(["≤ −1", "0", "≥ 1"])
