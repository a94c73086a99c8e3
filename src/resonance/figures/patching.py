"""Links between layers: what clean states of one input clause bring back of linked and of other target clauses."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from resonance.figures.cycles import in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, learners, rows
from resonance.figures.sheet import of, sheet
from resonance.figures.style import BLUE, DASHED, DOTTED, GREY, SOLID, VERMILLION, Mark, styled

GAIN, NULL = "patched_gain", "patched_gain_null"
LINKED, OTHER, MOVED = "patched_recovery", "patched_recovery_other", "patched_recovery_moved"
LINES = {
    LINKED: Mark(BLUE, SOLID, "o", "the linked clause"),
    OTHER: Mark(GREY, DASHED, "s", "clauses that are not linked"),
    MOVED: Mark(VERMILLION, DOTTED, "^", "the linked clause, other places put back"),
}
BAND = 0.15


@styled
def draw(tables: Tables) -> Figure:
    """One panel per learner: the share that comes back, by the layer behind which states are put back, at its end.

    Means over directions and seeds. The grey band is where the blue line lies when the links are shifted round: the
    line of other clauses and, from there, the gain of shifted links, the means of its 2.5 and 97.5 %.

    Args:
        tables: family `patching`: `patched_recovery`, its `_other` and `_moved`, `patched_gain` and its null with low
            and high, per layer. Learners of which too little is at stake have no panel.
    """
    table = ends(rows(tables, "patching", measure=[*LINES, GAIN, NULL]))
    if not (table["measure"] == LINKED).any():
        why = "the table patching holds no shares: the pair has no links, or no learner loses by a shuffled input."
        return notice("Links between layers", why)
    table = table[table["learner"].isin(table.loc[table["measure"] == LINKED, "learner"])]
    names = learners(table)
    page = sheet(
        names,
        title=headline(table),
        subtitle=f"{describe(table, spread=False)} · mean over directions · grey band: links shifted round",
        legend=list(LINES.values()),
        note="comes back of",
    )
    for name, axes in zip(names, page.panels, strict=True):
        _panel(axes, table[table["learner"] == name])
    page.label("layer behind which clean states are put back (0 = embedding)", "share of what the input is worth")
    return page.figure


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of each learner's last cycle that has any."""
    last = table.groupby("learner", sort=False)["cycle"].transform("max")
    return table[table["cycle"] == last]


def by_layer(table: pd.DataFrame, measure: str, column: str = "value") -> pd.Series[float]:
    """Means over directions and seeds, by layer."""
    own = table[table["measure"] == measure]
    means: pd.Series[float] = own.groupby(own["layer"].astype(int))[column].mean().sort_index()
    return means


def headline(table: pd.DataFrame) -> str:
    """The greatest gain of linked clauses over others, and its layer."""
    gains = {name: by_layer(table[table["learner"] == name], GAIN) for name in learners(table)}
    gains = {name: own for name, own in gains.items() if len(own)}
    after = in_cycles(int(table["cycle"].max()))
    if not gains:
        return f"Links between layers after {after}"
    best = {name: (int(str(own.idxmax())), float(own.max())) for name, own in gains.items()}

    def said(name: str) -> str:
        layer, gain = best[name]
        return f"{gain:+.0%} (layer {layer})".replace("-", "−")

    if len(best) == 1:
        ((name, _),) = best.items()
        return f"{name}: put back, a clause brings its linked one back better than others by at most {said(name)}"
    least, most = (pick(best, key=lambda name: best[name][1]) for pick in (min, max))
    low, high = (f"{best[name][1]:+.0%}".replace("-", "−") for name in (least, most))
    return (
        f"Put back, a clause brings its linked one back better than others by at most {of(low, least)} to "
        f"{of(high, most)}"
    )


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    other = by_layer(table, OTHER)
    low, high = (by_layer(table, NULL, end).reindex(other.index) for end in ("low", "high"))
    layers = other.index.to_numpy(float)
    if len(layers):
        axes.fill_between(
            layers, (other + low).to_numpy(float), (other + high).to_numpy(float), color=GREY, alpha=BAND, lw=0
        )
    for measure, mark in LINES.items():
        line = by_layer(table, measure)
        axes.plot(
            line.index.to_numpy(float),
            line.to_numpy(float),
            color=mark.colour,
            linestyle=mark.dash,
            marker=mark.marker,
            markeredgewidth=0,
            clip_on=False,
        )
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlim(-0.15, max(float(layers.max(initial=0)), 1.0) + 0.15)
