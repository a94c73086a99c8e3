"""Do the permutations matter? When the targets are known, schedule by schedule, seed by seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from resonance.figures.cycles import in_cycles, short
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, learners, rows
from resonance.figures.sheet import sheet
from resonance.figures.style import DIRECTIONS, GREY, SMALL, Mark, series, styled

SHARE = 0.99
MEASURE = "accuracy_online"
TITLE = "Do the permutations matter?"
WORD = 12
"""Letters of a schedule's name that a tick has room for."""


@styled
def draw(tables: Tables) -> Figure:
    """One panel per learner with two schedules or more: t99 (logarithmic) by schedule, a line per seed.

    t99 is the first cycle at which the mean of the four directions is 99 % of the target tokens, before the update.
    Runs that do not reach it stand open above the line "not reached".

    Args:
        tables: family `loss`, measure `accuracy_online`, of one pair and all schedules.
    """
    table = rows(tables, "loss", measure=MEASURE)
    if table.empty:
        return notice(TITLE, f"the table loss holds no {MEASURE}.")
    counts = table.groupby("learner", sort=False)["schedule"].nunique()
    names = [name for name in learners(table) if counts[name] > 1]
    if not names:
        why = (
            "every learner has one schedule; give params.yaml several, each with a `seed` of its own (docs/claims.md)."
        )
        return notice(TITLE, why)
    own = table[table["learner"].isin(names)]
    times = {name: reached(own[own["learner"] == name]) for name in names}
    ends = own.groupby(["learner", "schedule", "seed"])["cycle"].max()
    seeds = [str(seed) for seed in sorted(own["seed"].unique())]
    marks = series(seeds)
    most = max(grid.shape[0] for grid in times.values())
    columns = 1 if most > 6 else min(len(names), 2)
    page = sheet(
        names,
        title=headline(times),
        subtitle=f"pair {own['pair'].iloc[0]} · t99: first cycle with {SHARE:.0%} of the target tokens",
        legend=list(marks.values()),
        note="seed:",
        columns=columns,
        height=2.4,
        share=False,
    )
    last = int(ends.max())
    known = np.concatenate([grid.to_numpy(float).ravel() for grid in times.values()])
    low = float(np.min(known, where=np.isfinite(known), initial=last))
    for name, axes in zip(names, page.panels, strict=True):
        _panel(axes, times[name], marks, last, low, room=100 // columns)
    page.label("schedule", f"t99: cycles until {SHARE:.0%} are known")
    return page.figure


def reached(table: pd.DataFrame) -> pd.DataFrame:
    """Schedules (index) × seeds (columns) of one learner: t99 in cycles, NaN where it was not reached.

    A schedule may ask one direction alone for many cycles: then the last known share of each of the others counts.
    """
    found: dict[tuple[str, int], float] = {}
    for (schedule, seed), run in table.groupby(["schedule", "seed"], sort=False):
        shares = run.pivot_table(index="cycle", columns="direction", values="value").sort_index().ffill()
        shares = shares.reindex(columns=list(DIRECTIONS)).dropna(axis=1, how="all").dropna()
        known = shares.index[shares.mean(axis=1) >= SHARE]
        found[str(schedule), int(str(seed))] = float(known[0]) if len(known) else float("nan")
    times = pd.Series(found).unstack()
    order = [str(name) for name in pd.unique(table["schedule"])]
    return times.reindex(order)


def headline(times: dict[str, pd.DataFrame]) -> str:
    """From the earliest to the latest mean of a schedule, for the learner in which they differ most."""
    ranges = {}
    for name, grid in times.items():
        means = grid.mean(axis=1, skipna=False).dropna()
        if len(means) > 1:
            ranges[name] = (float(means.min()), float(means.max()), len(means))
    if not ranges:
        return f"{SHARE:.0%} of the target tokens were not reached under two schedules"
    most = max(ranges, key=lambda name: ranges[name][1] / ranges[name][0])
    early, late, count = ranges[most]
    knows = f"{most} knows {SHARE:.0%} of its targets after"
    if early == late:
        return f"{knows} {in_cycles(round(early))} under each of {count} schedules"
    return f"{knows} {early:.0f} cycles under one schedule and {late:.0f} under another (× {late / early:.2f})"


def _panel(axes: Axes, times: pd.DataFrame, marks: dict[str, Mark], last: int, low: float, room: int) -> None:
    """One line per seed across the schedules; what was not reached stands open at the top."""
    places = range(len(times))
    axes.set_yscale("log")
    lost = last * 1.35
    for seed in times:
        mark = marks[str(seed)]
        values = times[seed]
        axes.plot(places, values, color=mark.colour, linestyle=mark.dash, marker=mark.marker, clip_on=False)
        late = [place for place in places if pd.isna(values.iloc[place])]
        if late:
            top = [lost] * len(late)
            axes.plot(late, top, color=mark.colour, marker=mark.marker, linewidth=0, markerfacecolor="white")
    if times.isna().any(axis=None):
        axes.axhline(last * 1.12, color=GREY, linewidth=0.7)
        axes.text(
            0.99,
            last * 1.16,
            "not reached",
            size=SMALL,
            color=GREY,
            ha="right",
            va="bottom",
            transform=axes.get_yaxis_transform(),
        )
    axes.set_ylim(low / 1.15, last * 1.6 if times.isna().any(axis=None) else last * 1.05)
    axes.set_xlim(-0.4, len(times) - 0.6)
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    words = [str(name) for name in times.index]
    fits = sum(len(word[:WORD]) + 2 for word in words) <= room
    axes.set_xticklabels(
        [word if len(word) <= WORD else f"{word[: WORD - 1]}…" for word in words], rotation=0 if fits else 90
    )
    axes.yaxis.set_major_locator(MaxNLocator(5) if last < 10 * low else LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value) if value <= last else ""))
