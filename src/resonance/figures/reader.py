"""What reading alone does: how far the carried state still moves, what that is worth, and whether it forgets."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from resonance.figures.cycles import cycle_axis, cycle_ticks, in_cycles, power, short
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, coarse, describe, draw_pale, draw_seeds, last_values, learners, rows
from resonance.figures.sheet import of, sheet
from resonance.figures.style import GREY, SMALL, series, styled

CHANGE, GAIN, GROWTH = "state_change", "loss_since_first_pass", "lyapunov_1"
PANELS = {CHANGE: "how far it moves", GAIN: "what it is worth", GROWTH: "forget or amplify?"}
"""What is said of the carried state, as short as the three panels are narrow."""


@styled
def draw(tables: Tables) -> Figure:
    """A line per learner that carries a state: change of the state per cycle, loss per pass, growth of differences.

    What a cycle does depends on its order, so single cycles are pale and the line is their mean, four per doubling.

    Args:
        tables: family `reader`: `state_change` (log-log; a change of exactly 0 has no place on the axis and is left
            out), `loss_since_first_pass` (mean over directions) and `lyapunov_1` at every mark; where nobody has it,
            there are two panels.
    """
    table = rows(tables, "reader", measure=list(PANELS))
    online, growing = table[table["measure"] != GROWTH], table[table["measure"] == GROWTH]
    if online.empty:
        return notice("Reading without training", "no learner carries a state from cycle to cycle (`carry: true`).")
    marks = series(learners(table))
    page = sheet(
        [title for measure, title in PANELS.items() if measure != GROWTH or len(growing)],
        title=headline(online),
        subtitle=describe(table) + " · pale: single cycles",
        legend=list(marks.values()),
        share=False,
        height=2.6,
        frame=0.8,
    )
    last = int(table["cycle"].max())
    for measure, axes in zip((CHANGE, GAIN), page.panels[:2], strict=True):
        axes.set_xscale("log")
        own = online[online["measure"] == measure]
        if measure == CHANGE:
            own = own[own["value"] > 0]
            axes.set_yscale("log")
        for name, mark in marks.items():
            draw_pale(axes, own[own["learner"] == name], mark)
            draw_seeds(axes, coarse(own[own["learner"] == name]), mark)
        _ticks(axes, last)
        if own.empty:
            axes.text(0.5, 0.5, "0 in every cycle", size=SMALL, color=GREY, ha="center", transform=axes.transAxes)
    change, gain = page.panels[:2]
    change.yaxis.set_minor_locator(NullLocator())
    change.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    change.set_ylabel("relative change of the state\n(share of its length)")
    gain.set_ylabel("loss in pass n − loss in pass 1\n(nat/token)")
    for axes in page.panels[2:]:
        for name, mark in marks.items():
            draw_seeds(axes, growing[growing["learner"] == name], mark)
        cycle_axis(axes, last, most=5)
        axes.set_ylabel("largest Lyapunov exponent\n(nat/cycle)")
    for axes in page.panels[1:]:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
        axes.axhline(0, color=GREY, linewidth=0.7)
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
