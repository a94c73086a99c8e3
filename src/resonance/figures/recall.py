"""How much of a target comes out word for word: exact continuations over cycles."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from resonance.figures.cycles import LABEL, cycle_axis
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, draw_seeds, last_values, learners, rows
from resonance.figures.sheet import sheet
from resonance.figures.style import series, styled

MEASURE = "exact"
PREFIX = "prefix:"


@styled
def draw(tables: Tables) -> Figure:
    """One panel per learner, one line per prefix length: share of the rest of the target that is continued exactly.

    The mean over the four directions. 100 % means that, given so many tokens of the target, the network recites the
    rest to its end without a single wrong token.

    Args:
        tables: family `memorisation`, measure `exact`, condition `prefix:<k>`.
    """
    table = rows(tables, "memorisation", measure=MEASURE)
    if table.empty:
        return notice("Exact recall", f"the table memorisation holds no rows of the measure {MEASURE}.")
    names = learners(table)
    given = sorted(int(str(condition).removeprefix(PREFIX)) for condition in table["condition"].unique())
    marks = series(f"{prefix} tokens" for prefix in given)
    page = sheet(
        names,
        title=headline(table, given),
        subtitle=describe(table) + " · mean over the four directions",
        legend=list(marks.values()),
        note="of the target are given:",
    )
    last = int(table["cycle"].max())
    for name, axes in zip(names, page.panels, strict=True):
        own = table[table["learner"] == name]
        for prefix, mark in zip(given, marks.values(), strict=True):
            draw_seeds(axes, own[own["condition"] == f"{PREFIX}{prefix}"], mark)
        cycle_axis(axes, last, most=5 if page.columns < 3 else 3)
    page.panels[0].set_ylim(0, 1)
    page.panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    page.label(LABEL, "exact continuation (share of the rest)")
    return page.figure


def headline(table: pd.DataFrame, given: list[int]) -> str:
    """How much the best and the least reciting learner know by heart, from the shortest prefix."""
    ends = last_values(table[table["condition"] == f"{PREFIX}{given[0]}"])
    last = int(table["cycle"].max())
    least, most = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    after = f"after {last:,} cycles, with {given[0]} tokens given"
    if len(ends) == 1:
        return f"{most} recites {ends[most]:.0%} of a target exactly {after}"
    return f"Recited exactly: from {ends[least]:.0%} ({least}) to {ends[most]:.0%} of a target ({most}) {after}"
