"""Dose and response: what a learner knows, recites, follows and has lost, against the cycles it was given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from scipy import stats

from resonance.figures.cycles import LABEL, cycle_axis, in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import THIN, Tables, by_seed, describe, last_values, learners, rows
from resonance.figures.sheet import of, sheet
from resonance.figures.style import GREY, SMALL, Mark, series, styled

MOST = 8
"""Learners that can be told apart in one panel."""


@dataclass(frozen=True)
class Endpoint:
    """One panel: its title, which rows it shows, the unit of its vertical axis."""

    title: str
    family: str
    measure: str
    condition: str | None
    unit: str

    def rows(self, tables: Tables) -> pd.DataFrame:
        """The rows of this endpoint."""
        wanted = {"measure": self.measure} | ({"condition": self.condition} if self.condition else {})
        return rows(tables, self.family, **wanted)


ENDPOINTS = (
    Endpoint("loss on the targets", "loss", "nll", "clean", "nat/token"),
    Endpoint("edited places as trained", "probes", "store_share", "input:edited", "share (recites)"),
    Endpoint("anchors followed", "anchors", "follow_share", None, "share (translates)"),
    Endpoint("paraphrase as target", "probes", "bits_per_byte", "target:paraphrase", "bit/byte"),
    Endpoint("unrelated text as target", "probes", "bits_per_byte", "target:unrelated", "bit/byte"),
    Endpoint("confidence, paraphrase", "confidence", "brier", "target:paraphrase", "Brier score"),
)


@styled
def draw(tables: Tables) -> Figure:
    """One panel per endpoint, one line per learner, of eight at most: the mean over seeds, and each seed as a point.

    From four seeds on, the band is the 95 % interval of the mean by Student's t, cycle by cycle. Means over directions.

    Args:
        tables: families `loss`, `probes`, `anchors` and `confidence`; a panel without rows says so.
    """
    found = [endpoint.rows(tables) for endpoint in ENDPOINTS]
    held = [table for table in found if len(table)]
    if not held:
        return notice(
            "Dose and response", "the tables loss, probes, anchors and confidence hold none of the endpoints."
        )
    everyone = list(dict.fromkeys(name for table in held for name in learners(table)))
    names = everyone[:MOST]
    marks = series(names)
    shown = pd.concat([table[table["learner"].isin(names)] for table in held])
    seeds = shown["seed"].nunique()
    said = describe(shown, spread=False)
    if seeds > 1:
        said += " · points: seeds" + (" · band: 95 % interval of the mean (t)" if seeds > THIN else "")
    if len(everyone) > MOST:
        said += f" · the first {MOST} of {len(everyone)} learners"
    page = sheet(
        [endpoint.title for endpoint in ENDPOINTS],
        title=headline(found[0][found[0]["learner"].isin(names)], found[3][found[3]["learner"].isin(names)]),
        subtitle=said,
        legend=list(marks.values()),
        columns=3,
        height=1.9,
        share=False,
    )
    last = int(shown["cycle"].max())
    for endpoint, table, axes in zip(ENDPOINTS, found, page.panels, strict=True):
        for name, mark in marks.items():
            draw_response(axes, table[table["learner"] == name], mark)
        if not axes.lines:
            axes.text(0.5, 0.5, "not measured", size=SMALL, color=GREY, ha="center", transform=axes.transAxes)
        cycle_axis(axes, last, most=4)
        axes.set_ylabel(endpoint.unit, size=SMALL)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
        if endpoint.unit.startswith("share"):
            axes.set_ylim(0, 1)
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    page.panels[0].set_ylim(bottom=0)
    page.label(LABEL)
    return page.figure


def interval(values: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of the mean of each row (a cycle) over its columns (seeds): mean ± t · s / √n."""
    n = values.notna().sum(axis=1).to_numpy()
    mean = values.mean(axis=1).to_numpy()
    wide = stats.t.ppf(0.975, np.maximum(n - 1, 1)) * values.std(axis=1, ddof=1).to_numpy() / np.sqrt(n)
    wide = np.where(n > 1, wide, 0.0)
    return mean - wide, mean + wide


def draw_response(axes: Axes, table: pd.DataFrame, mark: Mark) -> None:
    """The mean over seeds as a line; each seed as a small point; from four seeds on the interval as a band."""
    values = by_seed(table)
    if values.empty:
        return
    cycles = values.index.to_numpy(dtype=float)
    if values.shape[1] > THIN:
        axes.fill_between(cycles, *interval(values), color=mark.colour, alpha=0.15, linewidth=0)
    if values.shape[1] > 1:
        for seed in values:
            axes.plot(
                cycles,
                values[seed],
                color=mark.colour,
                marker=".",
                markersize=2.5,
                markeredgewidth=0,
                linewidth=0,
                alpha=0.7,
            )
    axes.plot(
        cycles,
        values.mean(axis=1).to_numpy(),
        color=mark.colour,
        linestyle=mark.dash,
        marker=mark.marker,
        markersize=3,
        markeredgewidth=0,
        clip_on=False,
    )


def headline(loss: pd.DataFrame, paraphrase: pd.DataFrame) -> str:
    """How far the loss has come down, and what a paraphrase costs then."""
    if loss.empty:
        return "Responses to the number of cycles"
    ends, cost = last_values(loss), last_values(paraphrase)
    last = int(loss["cycle"].max())
    best = min(ends, key=ends.__getitem__)
    text = f"Lowest loss after {in_cycles(last)}: {of(f'{ends[best]:.3g} nat/token', best)}"
    if best in cost:
        first = paraphrase[(paraphrase["learner"] == best) & (paraphrase["cycle"] == paraphrase["cycle"].min())]
        text += f"; a paraphrase cost it {first['value'].mean():.3g} bit/byte at first and {cost[best]:.3g} then"
    return text
