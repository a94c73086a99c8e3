"""Recitation against understanding: what a learner knows by heart, and what it makes of other words and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, PercentFormatter

from resonance.figures.blocks import Column, blocks
from resonance.figures.cycles import in_cycles, short
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, learners, rows
from resonance.figures.sheet import of
from resonance.figures.style import BLUE, GREY, PURPLE, SMALL, TEXT, styled

COLUMNS = (
    Column("targets known (across), paraphrase (up)", "bit/byte more than at cycle 0"),
    Column("edited places: trained (across), edited (up)", "answered as edited"),
)
ACROSS = "share of target tokens known (left), of edited places answered as trained (right)"
SEED: Any = {"linewidth": 0.6, "alpha": 0.5}
Paths = Mapping[int, pd.DataFrame]
"""By seed: columns x and y, index cycle."""


@styled
def draw(tables: Tables) -> Figure:
    """Two panels per learner, with a path through its marks in each: thin for each seed, thick for their mean.

    Left: across `token_accuracy` of the clean targets, up the bits per byte of the paraphrase as target minus those at
    cycle 0. Right: at edited places, across the share answered as trained, up the share answered as edited.

    Args:
        tables: families `memorisation` and `probes`; means over directions.
    """
    known = rows(tables, "memorisation", measure="token_accuracy", condition="clean")
    cost = rows(tables, "probes", measure="bits_per_byte", condition="target:paraphrase")
    shares = rows(tables, "probes", measure=["store_share", "follow_share"], condition="input:edited")
    lacking = [
        what
        for what, table in (
            ("token_accuracy in memorisation", known),
            ("bits_per_byte of a paraphrase in probes", cost),
        )
        if table.empty
    ]
    if lacking:
        return notice("Recitation against understanding", f"there is no {' and no '.join(lacking)}.")
    names = [name for name in learners(known) if name in set(cost["learner"])]
    left = {name: paths(known, cost, name, since=True) for name in names}
    stored, followed = (shares[shares["measure"] == measure] for measure in ("store_share", "follow_share"))
    right = {name: paths(stored, followed, name) for name in names}
    page = blocks(
        names,
        COLUMNS,
        title=headline({name: mean(own) for name, own in left.items()}, int(known["cycle"].max())),
        subtitle=describe(cost) + " · open: cycle 0; filled: the last",
        across="",
    )
    for name in names:
        for axes, own, colour in zip(page.of[name], (left[name], right[name]), (BLUE, PURPLE), strict=True):
            if not own:
                axes.text(0.5, 0.5, "not asked", size=SMALL, color=GREY, ha="center", transform=axes.transAxes)
            for each in own.values():
                axes.plot(each["x"], each["y"], color=colour, **(SEED if len(own) > 1 else {}))
            if own:
                _ends(axes, mean(own), colour, thick=len(own) > 1, said=page.abreast == 1)
    for axes in page.of[names[0]]:
        axes.set_xlim(-0.05, 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(2 if page.abreast > 1 else 5, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    first, second = page.of[names[0]]
    second.set_ylim(-0.05, 1.2)
    second.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    first.margins(y=0.2)
    second.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    first.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    first.yaxis.set_major_locator(MaxNLocator(4))
    for name in names:
        page.of[name][0].axhline(0, color=GREY, linewidth=0.7)
    page.figure.supxlabel(ACROSS, size=TEXT)
    return page.figure


def paths(across: pd.DataFrame, up: pd.DataFrame, name: str, since: bool = False) -> dict[int, pd.DataFrame]:
    """The path of each seed of a learner through the cycles that both tables have; `since`: y minus y at its start."""
    found = {}
    for seed in sorted(across.loc[across["learner"] == name, "seed"].unique()):
        x, y = (
            table[(table["learner"] == name) & (table["seed"] == seed)].groupby("cycle")["value"].mean()
            for table in (across, up)
        )
        both = pd.concat({"x": x, "y": y}, axis=1, join="inner").sort_index()
        if len(both):
            found[int(seed)] = both.assign(y=both["y"] - both["y"].iloc[0]) if since else both
    return found


def mean(own: Paths) -> pd.DataFrame:
    """The mean path over seeds, cycle by cycle."""
    if not own:
        return pd.DataFrame(columns=["x", "y"])
    return pd.concat(own.values()).groupby(level=0).mean()


def headline(means: Mapping[str, pd.DataFrame], last: int) -> str:
    """What knowing the target has cost on the paraphrase."""
    ends = {name: path.iloc[-1] for name, path in means.items() if len(path)}
    said = {name: f"{end['y']:+.2g}".replace("-", "−") for name, end in ends.items()}
    if len(ends) == 1:
        ((name, end),) = ends.items()
        known = f"{name} knows {end['x']:.0%} of its targets after {in_cycles(last)}"
        return f"{known}; a paraphrase costs {said[name]} bit/byte against cycle 0"
    least, most = (pick(ends, key=lambda name: ends[name]["y"]) for pick in (min, max))
    shares = [f"{pick(end['x'] for end in ends.values()):.0%}" for pick in (min, max)]
    known = " to ".join(dict.fromkeys(shares))
    return (
        f"After {in_cycles(last)}, with {known} of the targets known, a paraphrase costs "
        f"{of(said[least], least)} to {of(said[most], most)} bit/byte against cycle 0"
    )


def _ends(axes: Axes, path: pd.DataFrame, colour: str, thick: bool, said: bool) -> None:
    """The mean path with its marks: the start open, the end filled, and labelled with its cycle where there is room."""
    x, y = path["x"].to_numpy(float), path["y"].to_numpy(float)
    axes.plot(x, y, color=colour, linewidth=1.4 if thick else 0, marker="o", markersize=3, markeredgewidth=0)
    axes.plot(x[:1], y[:1], color=colour, marker="o", markersize=5, markerfacecolor="white", linewidth=0, clip_on=False)
    axes.plot(x[-1:], y[-1:], color=colour, marker="o", markersize=5, linewidth=0, clip_on=False)
    if said:
        end = short(float(path.index[-1]))
        axes.annotate(end, (x[-1], y[-1]), (-3, 3), textcoords="offset points", size=SMALL, ha="right", va="bottom")
