"""What reading alone does: how far the carried state still moves, and what that is worth."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from resonance.figures.cycles import cycle_ticks, in_cycles, power, short
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, coarse, describe, draw_pale, draw_seeds, last_values, learners, rows
from resonance.figures.sheet import of, sheet
from resonance.figures.style import GREY, SMALL, series, styled

CHANGE, GAIN = "state_change", "loss_since_first_pass"


@styled
def draw(tables: Tables) -> Figure:
    """Two panels, one line per learner that carries a state: change of the state per cycle, and loss per pass.

    What a cycle does depends on its order, so single cycles are pale and the line is their mean, four per doubling.

    Args:
        tables: family `reader`: `state_change` (log-log; a change of exactly 0 has no place on the axis and is left
            out) and `loss_since_first_pass` (mean over directions).
    """
    table = rows(tables, "reader", measure=[CHANGE, GAIN])
    if table.empty:
        return notice("Reading without training", "no learner carries a state from cycle to cycle (`carry: true`).")
    names = learners(table)
    marks = series(names)
    page = sheet(
        ["how much the state moves in a cycle", "what further passes are worth"],
        title=headline(table),
        subtitle=describe(table) + " · pale: single cycles",
        legend=list(marks.values()),
        share=False,
        height=2.6,
    )
    last = int(table["cycle"].max())
    for measure, axes in zip((CHANGE, GAIN), page.panels, strict=True):
        axes.set_xscale("log")
        own = table[table["measure"] == measure]
        if measure == CHANGE:
            own = own[own["value"] > 0]
            axes.set_yscale("log")
        for name, mark in marks.items():
            draw_pale(axes, own[own["learner"] == name], mark)
            draw_seeds(axes, coarse(own[own["learner"] == name]), mark)
        _ticks(axes, last)
        if own.empty:
            axes.text(0.5, 0.5, "0 in every cycle", size=SMALL, color=GREY, ha="center", transform=axes.transAxes)
    change, gain = page.panels
    change.yaxis.set_minor_locator(NullLocator())
    change.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    change.set_ylabel("relative change of the state\n(share of its length)")
    gain.set_ylabel("loss in pass n − loss in pass 1\n(nat/token)")
    gain.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    gain.axhline(0, color=GREY, linewidth=0.7)
    page.label("cycle = pass over the pair (logarithmic)")
    return page.figure


def _ticks(axes: Axes, last: int) -> None:
    """Round numbers from 1 on."""
    axes.set_xlim(0.9, max(last, 2) * 1.15)
    axes.xaxis.set_major_locator(FixedLocator(cycle_ticks(last, most=5)[1:]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def headline(table: pd.DataFrame) -> str:
    """What the last pass is worth against the first."""
    ends = last_values(coarse(table[table["measure"] == GAIN]))
    last = int(table["cycle"].max())
    if not ends:
        return f"Change of the carried state over {in_cycles(last)}"
    least, most = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    said = {name: f"{end:+.2g}".replace("-", "−") for name, end in ends.items()}
    if len(ends) == 1:
        return f"{least}: by pass {last:,} the loss has changed by {said[least]} nat/token"
    return f"By pass {last:,} the loss has changed by {of(said[least], least)} to {of(said[most], most)} nat/token"
