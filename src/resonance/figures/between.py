"""How alike the learners' states are: each learner against each, at the end and at cycle 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, learners, rows
from resonance.figures.sheet import MARGIN, UNBROKEN, Sheet, of, sheet, shortened, text_width
from resonance.figures.style import GREY, INK, SMALL, TEXT, WIDTH, styled

MEASURE = "cka_between"
NAMES = 1.35
"""Inches that a name may take."""
LARGEST = 0.42
"""Inches of a cell: of few learners too, a cell is not larger than its number needs."""
LEAST = 0.22
"""Inches of a cell below which its number could not be read and is left out."""

Matrix = NDArray[np.float64]


@styled
def draw(tables: Tables) -> Figure:
    """One matrix, learner × learner: debiased CKA of the last layers, above the diagonal at the end, below at cycle 0.

    On the diagonal the same learner with another seed. Learners stand so that those which are alike at the end are
    neighbours. Above 25 learners or so a cell has no room for its number and is a colour only.

    Args:
        tables: family `between`, `cka_between` by partner (condition `learner:<name>` or `seed:<number>`), last
            layers; means over seeds. A cell without a number is hatched.
    """
    table = rows(tables, "between", measure=MEASURE)
    own = table[table["condition"].astype(str).str.startswith("learner:")]
    if own.empty:
        why = f"the table between holds no {MEASURE} of two learners, which takes two that read the same tokens."
        return notice("How alike the learners are", why)
    names = learners(own)
    table = table[table["layer"] == table.groupby("learner")["layer"].transform("max")]
    start, end = (matrix(table[table["cycle"] == cycle], names) for cycle in (0, int(table["cycle"].max())))
    order = neighbours_first(end)
    names = [names[place] for place in order]
    start, end = start[np.ix_(order, order)], end[np.ix_(order, order)]
    labels = [shortened(name, NAMES, SMALL) for name in names]
    beside = max(text_width(name, SMALL) for name in labels) + 2 * MARGIN
    cell = min(LARGEST, (WIDTH - beside - MARGIN) / len(names))
    page = sheet(
        [""],
        title=headline(start, end, names),
        subtitle=f"{describe(table, spread=False)} · above the diagonal: the end · below: cycle 0 · on it: another seed"
        + " · hatched: no number",
        strip=0.45,
        columns=1,
        height=len(names) * cell + beside,
        share=False,
    )
    width, height = page.figure.get_size_inches()
    side = len(names) * cell
    page.panels[0].set_position((beside / width, beside / height, side / width, side / height))
    shown = np.where(np.triu(np.ones_like(end, bool)), end, start)
    _cells(page.panels[0], shown, cell)
    _names(page.panels[0], labels, cell)
    _scale(page)
    return page.figure


def matrix(table: pd.DataFrame, names: Sequence[str]) -> Matrix:
    """CKA [R, R] of each learner (row) with each (column), its other seed on the diagonal; NaN where there is none."""
    found = np.full((len(names), len(names)), np.nan)
    place = {name: number for number, name in enumerate(names)}
    means = table.groupby(["learner", "condition"], as_index=False)["value"].mean()
    for name, condition, value in zip(means["learner"], means["condition"], means["value"], strict=True):
        kind, _, partner = str(condition).partition(":")
        other = name if kind == "seed" else partner
        if name in place and other in place:
            found[place[name], place[other]] = value
    return found


def neighbours_first(alike: Matrix) -> list[int]:
    """An order in which those that are alike stand together: the leaves of average linkage, equals as they came.

    Two groups are joined where the mean CKA between their members is greatest, again and again; the group that came
    first stays first. A pair without a number counts as 0.
    """
    known = np.nan_to_num(alike)
    groups = [[place] for place in range(len(known))]
    while len(groups) > 1:
        between = np.array([[known[np.ix_(one, other)].mean() for other in groups] for one in groups])
        np.fill_diagonal(between, -np.inf)
        first, second = sorted(np.unravel_index(int(between.argmax()), between.shape))
        groups[first] = groups[first] + groups.pop(second)
    return groups[0]


def headline(start: Matrix, end: Matrix, names: Sequence[str]) -> str:
    """The mean over pairs before and after, and who is nearest to whom."""
    pairs = np.triu_indices(len(names), 1)
    before, after = start[pairs], end[pairs]
    if not np.isfinite(after).any():
        return "How alike the states of the learners are"
    if len(names) == 2:
        return f"{names[0]} and {names[1]}: CKA of the last layers {change(before, after)}"
    least, most = int(np.nanargmin(after)), int(np.nanargmax(after))
    said = [
        of(number(float(after[place])), f"{names[pairs[0][place]]} and {names[pairs[1][place]]}")
        for place in (least, most)
    ]
    return f"CKA of the last layers of two learners: {change(before, after)} on average, at the end {' to '.join(said)}"


def change(before: Matrix, after: Matrix) -> str:
    """`0.62 → 0.45`, means over pairs; the end alone where cycle 0 has no number."""
    if not np.isfinite(before).any():
        return number(float(np.nanmean(after)))
    return f"{number(float(np.nanmean(before)))}{UNBROKEN}→{UNBROKEN}{number(float(np.nanmean(after)))}"


def number(value: float) -> str:
    """Two decimals, with a true minus sign, and no minus before 0."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _cells(axes: Axes, shown: Matrix, cell: float) -> None:
    """The first learner at the top left."""
    scale = colormaps["cividis"]
    size = min(SMALL, 72 * cell / 2.6)
    for i, j in np.ndindex(shown.shape):
        value = shown[i, j]
        known = bool(np.isfinite(value))
        colour = scale(np.clip(value, 0, 1)) if known else "white"
        hatch = None if known else "/////"
        axes.add_patch(
            Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="white" if known else GREY, hatch=hatch, lw=0.4)
        )
        if known and cell >= LEAST:
            ink = "white" if value < 0.55 else INK
            text = number(float(value)).replace("0.", ".") if abs(value) < 0.995 else "1"
            axes.text(j + 0.5, i + 0.5, text, size=size, color=ink, ha="center", va="center_baseline")
    axes.set_xlim(0, len(shown))
    axes.set_ylim(len(shown), 0)
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(False)


def _names(axes: Axes, names: Sequence[str], cell: float) -> None:
    """The learners at the left and below, as large as a cell lets them be."""
    size = min(SMALL, 72 * cell * 0.72)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([place + 0.5 for place in range(len(names))]))
        axis.set_minor_locator(NullLocator())
        axis.set_ticklabels(list(names))
    axes.tick_params(length=0, labelsize=size)
    axes.tick_params(axis="x", labelrotation=90)


def _scale(page: Sheet) -> None:
    """The colour scale, in the strip above the matrix."""
    left, bottom, _, height = page.strip
    says = "debiased CKA of the targets' states, mean of the four directions:"
    page.figure.text(left + MARGIN / WIDTH, bottom + 0.62 * height, says, size=TEXT, color=GREY, va="center")
    start = (MARGIN + text_width(says, TEXT) + 0.15) / WIDTH
    axes = page.figure.add_axes((start, bottom + 0.5 * height, 0.95 - start, 0.24 * height))
    axes.set_in_layout(False)
    bar = page.figure.colorbar(ScalarMappable(Normalize(0, 1), "cividis"), cax=axes, orientation="horizontal")
    bar.ax.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    bar.ax.set_xticklabels(["≤ 0", "0.5", "1"])
