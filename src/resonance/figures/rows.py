"""Which rows of a tidy table a figure draws, and the seeds among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from resonance.figures.cycles import in_cycles
from resonance.figures.style import Mark

Tables = Mapping[str, pd.DataFrame]
"""One tidy table per family, its rows those of one pair and one schedule."""

KEYS = ("learner", "pair", "schedule", "direction", "condition", "measure")
"""Columns that hold words; the rest are numbers."""

THIN = 3
"""Up to so many seeds are drawn as thin lines of their own, more as a band."""


def rows(tables: Tables, family: str, **wanted: str | Sequence[str]) -> pd.DataFrame:
    """The rows of a family whose columns hold the wanted words; empty where the family or the rows are missing.

    Values that are null or not finite are left out: the change from an empty state, say, is infinite. Words come as
    plain strings (no categories), so that grouping never invents combinations.
    """
    table = tables.get(family)
    if table is None:
        return pd.DataFrame(columns=[*KEYS, "seed", "cycle", "layer", "value", "low", "high"])
    kept = np.ones(len(table), dtype=bool)
    for column, words in wanted.items():
        allowed = [words] if isinstance(words, str) else list(words)
        kept &= table[column].isin(allowed).to_numpy()
    found: pd.DataFrame = table[kept & np.isfinite(table["value"].to_numpy(float))]
    return found.astype(dict.fromkeys(KEYS, object))


def learners(table: pd.DataFrame) -> list[str]:
    """The learners of a table in the order in which they first appear, which is that of params.yaml."""
    return [str(name) for name in pd.unique(table["learner"])]


def by_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Value per cycle (index) and seed (columns), averaged over all else that is left in the rows."""
    return table.pivot_table(index="cycle", columns="seed", values="value", aggfunc="mean").sort_index()


def last_values(table: pd.DataFrame) -> dict[str, float]:
    """Per learner, in order of appearance: the mean at its last cycle over all rows that are left."""
    ends = table.groupby("learner", sort=False)["cycle"].transform("max")
    means = table[table["cycle"] == ends].groupby("learner", sort=False)["value"].mean()
    return {str(name): float(value) for name, value in means.items()}


def draw_seeds(axes: Axes, table: pd.DataFrame, mark: Mark) -> None:
    """One line: the mean over seeds; below it each seed as a thin line, or, beyond three, the range from min to max."""
    values = by_seed(table)
    if values.empty:
        return
    cycles = values.index.to_numpy(dtype=float)
    if 1 < values.shape[1] <= THIN:
        for seed in values:
            axes.plot(cycles, values[seed].to_numpy(), color=mark.colour, linestyle=mark.dash, linewidth=0.6, alpha=0.6)
    elif values.shape[1] > THIN:
        axes.fill_between(
            cycles,
            values.min(axis=1).to_numpy(),
            values.max(axis=1).to_numpy(),
            color=mark.colour,
            alpha=0.18,
            linewidth=0,
        )
    axes.plot(
        cycles,
        values.mean(axis=1).to_numpy(),
        color=mark.colour,
        linestyle=mark.dash,
        marker=mark.marker,
        markevery=_marked(cycles),
        markeredgewidth=0,
        clip_on=False,
    )


def coarse(table: pd.DataFrame, per_doubling: int = 4) -> pd.DataFrame:
    """Means of neighbouring cycles, so many bins per doubling, each at its last cycle: the trend of a restless line."""
    exact = np.log2(np.maximum(table["cycle"].to_numpy(float), 1)) * per_doubling
    # a power of two is the end of its bin, whatever the rounding of its logarithm
    bins = np.ceil(exact - 1e-9)
    keys = ["learner", "pair", "schedule", "seed", "measure"]
    means = table.assign(bin=bins).groupby([*keys, "bin"], sort=False, as_index=False)
    return means.agg({"cycle": "max", "value": "mean"})


def _marked(cycles: NDArray[np.float64]) -> list[int]:
    """Which points get a marker: all, or of many some ten that lie evenly on a logarithmic axis."""
    if len(cycles) <= 16:
        return list(range(len(cycles)))
    wanted = np.expm1(np.linspace(np.log1p(cycles[0]), np.log1p(cycles[-1]), 10))
    return [int(np.abs(cycles - cycle).argmin()) for cycle in wanted]


def draw_pale(axes: Axes, table: pd.DataFrame, mark: Mark) -> None:
    """A thin pale line of the mean over seeds, behind everything else."""
    mean = by_seed(table).mean(axis=1)
    axes.plot(mean.index.to_numpy(dtype=float), mean.to_numpy(), color=mark.colour, linewidth=0.7, alpha=0.35, zorder=1)


def describe(table: pd.DataFrame, spread: bool = True) -> str:
    """`pair coffee · schedule shuffled · 3 seeds: mean, and each as a thin line · 512 cycles`.

    Args:
        table: the rows that are drawn.
        spread: the figure shows not only the mean of the seeds.
    """
    parts = [f"{key} {', '.join(map(str, pd.unique(table[key])))}" for key in ("pair", "schedule")]
    seeds = table["seed"].nunique()
    if seeds > 1 and not spread:
        parts.append(f"mean of {seeds} seeds")
    elif seeds > THIN:
        parts.append(f"{seeds} seeds: mean, and band from least to greatest")
    elif seeds > 1:
        parts.append(f"{seeds} seeds: mean, and each as a thin line")
    else:
        parts.append(f"seed {table['seed'].iloc[0]}")
    parts.append(in_cycles(int(table["cycle"].max())))
    return " · ".join(parts)
