"""How much of a target comes out word for word: exact continuations over cycles."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from resonance.figures.cycles import LABEL, cycle_axis, in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, draw_seeds, last_values, learners, rows
from resonance.figures.sheet import of, sheet
from resonance.figures.style import series, styled

MEASURE = "exact_continuation_"
"""Followed by the number of target tokens that are given."""


@styled
def draw(tables: Tables) -> Figure:
    """One panel per learner, one line per prefix length: the share of the rest of the target that is continued exactly.

    The mean over the four directions. 100% means that, given so many tokens of the target, the network recites the
    rest to its end without a single wrong token.

    Args:
        tables: family `memorisation`, measures `exact_continuation_<k>`, condition `clean`.
    """
    table = rows(tables, "memorisation", condition="clean")
    table = table[table["measure"].astype(str).str.startswith(MEASURE)]
    if table.empty:
        return notice("Exact recall", f"the table memorisation holds no {MEASURE}<k> of the clean texts.")
    names = learners(table)
    given = sorted(int(measure.removeprefix(MEASURE)) for measure in table["measure"].unique())
    marks = series(str(prefix) for prefix in given)
    page = sheet(
        names,
        title=headline(table, given[0]),
        subtitle=describe(table) + " · mean over the four directions",
        legend=list(marks.values()),
        note="tokens of the target that are given:",
    )
    last = int(table["cycle"].max())
    for name, axes in zip(names, page.panels, strict=True):
        own = table[table["learner"] == name]
        for prefix, mark in zip(given, marks.values(), strict=True):
            draw_seeds(axes, own[own["measure"] == f"{MEASURE}{prefix}"], mark)
        cycle_axis(axes, last, most=5 if page.columns < 3 else 3)
    page.panels[0].set_ylim(0, 1)
    page.panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    page.label(LABEL, "recited without an error (% of the rest)")
    return page.figure


def headline(table: pd.DataFrame, prefix: int) -> str:
    """How much the best and the least reciting learner know by heart, from the shortest prefix."""
    ends = last_values(table[table["measure"] == f"{MEASURE}{prefix}"])
    last = int(table["cycle"].max())
    least, most = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    start = "from its start" if prefix == 0 else f"from token {prefix} on"
    if len(ends) == 1:
        return f"{most} recites {ends[most]:.0%} of a target {start} after {in_cycles(last)}"
    return (
        f"Recited {start} after {in_cycles(last)}: {of(f'{ends[least]:.0%}', least)} "
        f"to {of(f'{ends[most]:.0%}', most)} of a target"
    )
