"""How well each learner knows each target: loss on the four directions over cycles."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from resonance.figures.cycles import LABEL, cycle_axis, in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, draw_pale, draw_seeds, last_values, learners, rows
from resonance.figures.sheet import of, sheet
from resonance.figures.style import DIRECTION_NOTE, DIRECTIONS, styled

MEASURE, ONLINE = "nll", "loss_online"


@styled
def draw(tables: Tables) -> Figure:
    """One panel per learner, one line per direction: nat/token of the clean target against the cycle.

    The pale line behind is the loss of every step, measured before its update: it shows what happens between marks.

    Args:
        tables: family `loss`: `nll` of the condition `clean`, and, where it is there, `loss_online`.
    """
    table = rows(tables, "loss", measure=MEASURE, condition="clean")
    if table.empty:
        return notice("Loss on the targets", f"the table `loss` holds no `{MEASURE}` of the clean texts.")
    online = rows(tables, "loss", measure=ONLINE)
    names = learners(table)
    page = sheet(
        names,
        title=headline(table),
        subtitle=describe(table) + ("" if online.empty else " · pale: each step, before its update"),
        legend=list(DIRECTIONS.values()),
        note=f"{DIRECTION_NOTE}:",
    )
    last = int(table["cycle"].max())
    for name, axes in zip(names, page.panels, strict=True):
        own = table[table["learner"] == name]
        for direction, mark in DIRECTIONS.items():
            draw_pale(axes, online[(online["learner"] == name) & (online["direction"] == direction)], mark)
            draw_seeds(axes, own[own["direction"] == direction], mark)
        page.corner(axes, f"end: {last_values(own)[name]:.3g}")
        cycle_axis(axes, last, most=5 if page.columns < 3 else 3)
    page.panels[0].set_ylim(bottom=0)
    page.label(LABEL, "loss on the target (nat/token)")
    return page.figure


def headline(table: pd.DataFrame) -> str:
    """What the figure shows, in one sentence, with the numbers at both ends."""
    ends = last_values(table)
    last = int(table["cycle"].max())
    least, most = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    if len(ends) == 1:
        start = table.loc[table["cycle"] == table["cycle"].min(), "value"].mean()
        return f"{least}: loss {start:.3g} → {ends[least]:.3g} nat/token in {in_cycles(last)}"
    return (
        f"Loss after {in_cycles(last)}: from {of(f'{ends[least]:.3g}', least)} "
        f"to {of(f'{ends[most]:.3g}', most)} nat/token"
    )
