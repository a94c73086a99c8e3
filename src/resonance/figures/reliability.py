"""Is it right as often as it is sure? Reliability curves of the targets and of texts that were never trained on."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, PercentFormatter

from resonance.figures.blocks import Column, blocks
from resonance.figures.cycles import in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, last_values, learners, rows
from resonance.figures.sheet import of
from resonance.figures.style import BLACK, BLUE, DASHED, DOTTED, GREY, ORANGE, SMALL, SOLID, Mark, styled

HITS, SURE, WEIGHT = "reliability_", "confidence_", "weight_"
"""Each followed by the number of a bin."""
PROBES = ("target:paraphrase", "target:unrelated")
COLUMNS = (Column("the true targets", "share of hits"), Column("paraphrase and unrelated text", "share of hits"))
CONDITIONS = (("clean",), PROBES)
MOMENTS = {
    "first": Mark(ORANGE, DOTTED, "^", "cycle 0"),
    "t50": Mark(BLUE, DASHED, "s", "half of them known (t50)"),
    "last": Mark(BLACK, SOLID, "o", "the last cycle"),
}
AREA = 110.0
"""Square points of the mark of a bin that holds all tokens."""


@styled
def draw(tables: Tables) -> Figure:
    """Two panels per learner, known targets and probes: share of hits against confidence, bins of tokens as marks.

    On the thin diagonal the two are equal; below it the learner is too sure. The area of a mark is the share of the
    tokens that its bin holds, so single tokens do not pass for curves.

    Args:
        tables: family `confidence`: `reliability_<k>`, `confidence_<k>` and `weight_<k>`, pooled over directions and
            seeds by weight; `ece_mass` for the headline; family `memorisation` for t50 (left out where that is not
            reached, or is the first or last mark).
    """
    table = rows(tables, "confidence", condition=["clean", *PROBES])
    binned = table[table["measure"].astype(str).str.startswith((HITS, SURE, WEIGHT))]
    if binned.empty:
        return notice("Reliability", f"the table confidence holds no {HITS}<k> of the clean targets or the probes.")
    names = learners(binned)
    known = rows(tables, "memorisation", measure="token_accuracy", condition="clean")
    page = blocks(
        names,
        COLUMNS,
        title=headline(table),
        subtitle=describe(binned, spread=False).replace("mean of", "pooled:")
        + " · area of a mark: share of the tokens",
        legend=list(MOMENTS.values()),
        across="confidence: largest probability of a prediction",
    )
    for name in names:
        own = binned[binned["learner"] == name]
        when = moments(own, known[known["learner"] == name])
        for axes, conditions in zip(page.of[name], CONDITIONS, strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7)
            asked = own[own["condition"].isin(conditions)]
            for moment, cycle in when.items():
                _curve(axes, curve(asked[asked["cycle"] == cycle]), MOMENTS[moment])
            if asked.empty:
                axes.text(0.5, 0.6, "not asked", size=SMALL, color=GREY, ha="center", transform=axes.transAxes)
    for axes in page.of[names[0]]:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([0, 0.5, 1]))
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.xaxis.set_major_formatter("{x:g}")
    return page.figure


def moments(table: pd.DataFrame, known: pd.DataFrame) -> dict[str, int]:
    """The first mark, that at which half of the target tokens are known if it lies between, and the last one."""
    cycles = sorted(int(cycle) for cycle in table["cycle"].unique())
    mean = known.groupby("cycle")["value"].mean().sort_index()
    reached = [int(cycle) for cycle in mean.index[mean >= 0.5]]
    when = {"first": cycles[0]}
    if reached and cycles[0] < reached[0] < cycles[-1] and reached[0] in cycles:
        when["t50"] = reached[0]
    if cycles[-1] > cycles[0]:
        when["last"] = cycles[-1]
    return when


def curve(table: pd.DataFrame) -> pd.DataFrame:
    """Per bin of one moment (index): mean confidence `x`, share of hits `y`, share of tokens `weight`."""
    table = table[table["measure"].astype(str).str.fullmatch(r"(reliability|confidence|weight)_\d+")]
    if table.empty:
        return pd.DataFrame(columns=["x", "y", "weight"])
    parts = table["measure"].astype(str).str.rsplit("_", n=1, expand=True)
    keyed = table.assign(kind=parts[0], bin=parts[1].astype(int))
    wide = keyed.pivot_table(index=["seed", "condition", "direction", "bin"], columns="kind", values="value").dropna()
    if len(wide.columns) < 3:
        return pd.DataFrame(columns=["x", "y", "weight"])
    weight = wide["weight"]
    pooled = pd.DataFrame({"x": wide["confidence"] * weight, "y": wide["reliability"] * weight, "weight": weight})
    sums = pooled.groupby(level="bin").sum()
    return pd.DataFrame(
        {"x": sums["x"] / sums["weight"], "y": sums["y"] / sums["weight"], "weight": sums["weight"] / weight.sum()}
    ).sort_index()


def _curve(axes: Axes, bins: pd.DataFrame, mark: Mark) -> None:
    axes.plot(bins["x"], bins["y"], color=mark.colour, linestyle=mark.dash, linewidth=1.1)
    area = (AREA * bins["weight"].astype(float)).clip(lower=2.0)
    axes.scatter(
        bins["x"],
        bins["y"],
        s=area,
        color=mark.colour,
        marker=mark.marker,
        linewidths=0,
        clip_on=False,
        alpha=0.75,
        zorder=3,
    )


def headline(table: pd.DataFrame) -> str:
    """How far confidence and hits are apart on probes in the end."""
    errors = table[(table["measure"] == "ece_mass") & table["condition"].isin(PROBES)]
    ends, starts = last_values(errors), {}
    if len(errors):
        starts = last_values(errors[errors["cycle"] == errors["cycle"].min()])
    last = int(table["cycle"].max())
    if not ends:
        return f"Hits against confidence over {in_cycles(last)}"
    least, most = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    if len(ends) == 1:
        return (
            f"{most}, on new texts: confidence is off by {starts[most]:.2g} at first and by {ends[most]:.2g} "
            f"after {in_cycles(last)}"
        )
    off = f"{of(f'{ends[least]:.2g}', least)} to {of(f'{ends[most]:.2g}', most)}"
    return f"On new texts confidence is off by {off} after {in_cycles(last)}"
