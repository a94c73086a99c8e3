"""Depth of the interweaving, or data? What an unseen paraphrase costs against both doses."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from resonance.figures.notice import notice
from resonance.figures.rows import Tables, learners, rows
from resonance.figures.sheet import UNBROKEN, of, sheet
from resonance.figures.style import GREY, SMALL, Mark, series, styled

BLOCK, VERSIONS = re.compile(r"block-(\d+)"), re.compile(r"versions-(\d+)")
PANELS = ("length of the blocks", "versions of the pair")
TITLE = "Depth of the interweaving, or data?"


@styled
def draw(tables: Tables) -> Figure:
    """Two panels on logarithmic axes: bits per byte of the paraphrase at the end against block length, and versions.

    A point is a run, the line their mean. Only doses of one kind of run are compared: schedules called `block-<length>`
    and learners called `versions-<number>`.

    Args:
        tables: family `probes`: `bits_per_byte` of `target:paraphrase`, of one pair and all schedules; means over
            directions.
    """
    table = rows(tables, "probes", measure="bits_per_byte", condition="target:paraphrase")
    doses = [blocks_of(table), versions_of(table)]
    if all(own.empty for own in doses):
        why = (
            "no learner has two schedules called block-<length> or more, and there are no two learners called "
            "versions-<number>: add them to params.yaml (docs/claims.md)."
        )
        return notice(TITLE, why)
    names = list(dict.fromkeys(name for own in doses for name in learners(own)))
    marks = series(names)
    page = sheet(
        list(PANELS),
        title=headline(doses),
        subtitle=f"pair {table['pair'].iloc[0]} · paraphrase as target, at the end of each run · "
        "point: a run; line: the mean of the seeds",
        legend=list(marks.values()),
        columns=2,
        height=2.6,
        share=False,
    )
    for own, axes in zip(doses, page.panels, strict=True):
        _panel(axes, own, marks)
    values = pd.concat(doses)["value"]
    low, high = float(values.min()), float(values.max())
    room = 0.08 * max(high - low, 0.1)
    for axes in page.panels:
        axes.set_ylim(low - room, high + room)
    page.label("dose (logarithmic): cycles of one direction in a row, or versions", "bit/byte of the paraphrase")
    return page.figure


def blocks_of(table: pd.DataFrame) -> pd.DataFrame:
    """Last values of the runs on `block-<length>`, with their `dose`; of learners with two lengths or more."""
    return _ends(table.assign(dose=_dose(table["schedule"], BLOCK)), by="learner")


def versions_of(table: pd.DataFrame) -> pd.DataFrame:
    """Last values of the learners `versions-<number>`, with their `dose`, as one line per schedule."""
    found = table.assign(dose=_dose(table["learner"], VERSIONS))
    found = found.assign(learner="on " + found["schedule"].astype(str))
    return _ends(found, by="learner")


def _dose(words: pd.Series[str], pattern: re.Pattern[str]) -> list[float]:
    matches = [pattern.fullmatch(str(word)) for word in words]
    return [float(match.group(1)) if match else float("nan") for match in matches]


def _ends(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Mean over directions at the last cycle of each run that has a dose."""
    dosed = table[table["dose"].notna()]
    last = dosed.groupby([by, "dose", "seed"], sort=False)["cycle"].transform("max")
    runs = dosed[dosed["cycle"] == last].groupby([by, "dose", "seed"], sort=False, as_index=False)
    ends: pd.DataFrame = runs.agg({"value": "mean"})
    counts = ends.groupby(by)["dose"].nunique()
    kept: pd.DataFrame = ends[ends[by].map(counts) > 1] if len(ends) else ends
    return kept


def slopes(ends: pd.DataFrame) -> dict[str, float]:
    """Per line the rise in bit/byte per doubling of the dose, by least squares over all its runs."""
    found = {}
    for name in learners(ends):
        own = ends[ends["learner"] == name]
        found[name] = float(np.polyfit(np.log2(own["dose"].to_numpy(float)), own["value"].to_numpy(float), 1)[0])
    return found


def headline(doses: list[pd.DataFrame]) -> str:
    """What one doubling of each dose does to the cost of a paraphrase."""
    parts = []
    for own, what in zip(doses, ("block length", "versions"), strict=True):
        found = slopes(own)
        if found:
            name = max(found, key=lambda line: abs(found[line]))
            said = f"{found[name]:+.2g}{UNBROKEN}bit/byte".replace("-", "−")
            parts.append(f"{of(said, name) if len(found) > 1 else said} per doubling of the {what}")
    return f"A paraphrase costs {' and '.join(parts)}"


def _panel(axes: Axes, ends: pd.DataFrame, marks: dict[str, Mark]) -> None:
    axes.set_xscale("log", base=2)
    for name in learners(ends):
        own, mark = ends[ends["learner"] == name], marks[name]
        axes.plot(
            own["dose"], own["value"], color=mark.colour, marker=".", markersize=3, linewidth=0, markeredgewidth=0
        )
        mean = own.groupby("dose")["value"].mean().sort_index()
        axes.plot(mean.index, mean, color=mark.colour, linestyle=mark.dash, marker=mark.marker, clip_on=False)
    if ends.empty:
        axes.set_xlim(1, 64)
        axes.text(0.5, 0.5, "no such runs", size=SMALL, color=GREY, ha="center", transform=axes.transAxes)
        return
    doses = sorted(ends["dose"].unique())
    axes.set_xlim(min(doses) / 1.25, max(doses) * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(doses))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
