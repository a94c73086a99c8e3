"""How far each layer has moved from cycle 0: the part that is one rotation of the whole space, and the rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from resonance.figures.cycles import in_cycles, short
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, learners, rows
from resonance.figures.sheet import MARGIN, Sheet, of, sheet, shortened, text_width
from resonance.figures.style import GREY, RC, TEXT, WIDTH, styled
from resonance.measures.vectors import Floats

DRIFT, REST, SHARE, NULL = "drift", "rest", "rotation_share", "rotation_share_null"


KINDS = ("rotation", "rest")
SEAMLESS: Any = {"edgecolors": "face", "linewidth": 0.4}
"""Fields overlap by a hair: viewers of SVG show the page through the seams of fields that only touch."""
MOST = 6
"""Maps in a row, when there are more than eight learners."""
FRAME = 0.33
"""Inches of a panel's width that the names of the layers take."""


class Maps(NamedTuple):
    """Layers (index) × cycles (columns) of one learner, means over seeds, in shares of the norm at cycle 0."""

    rotation: pd.DataFrame
    rest: pd.DataFrame


@styled
def draw(tables: Tables) -> Figure:
    """Two maps per learner, layer × cycle: the drift that a rotation explains, and the drift that none explains.

    drift² = rotation² + rest², all in shares of the norm of the states at cycle 0, on held-out tokens; so both maps
    have one unit and one colour scale. Where a rotation predicts worse than none, its part is drawn as 0.

    Args:
        tables: family `similarity`, measures `drift` and `rest` per layer and cycle; `rotation_share` and
            `rotation_share_null` for the headline.
    """
    table = rows(tables, "similarity", measure=[DRIFT, REST, SHARE, NULL])
    maps = {name: split(table[table["learner"] == name]) for name in learners(table)}
    maps = {name: own for name, own in maps.items() if own.rest.size}
    if not maps:
        why = f"the table similarity holds no {DRIFT} and {REST} after cycle 0."
        return notice("Drift since cycle 0", why)
    columns = 2 if len(maps) <= 4 else 4 if len(maps) <= 8 else MOST
    page = sheet(
        [panel_title(name, kind, columns) for name in maps for kind in KINDS],
        title=headline(table, last_shares(table)),
        subtitle=describe(table, spread=False)
        + " · held-out tokens"
        + (" · of each two maps, left: rotation, right: rest" if columns == MOST else ""),
        strip=0.45,
        columns=columns,
        height={2: 1.5, 4: 1.3}.get(columns, 1.05),
        share=False,
        frame=FRAME,
    )
    if columns == MOST:
        for name, axes in zip(maps, page.panels[::2], strict=True):
            room = 2 * WIDTH / columns - FRAME
            axes.set_title(shortened(name, room, RC["axes.titlesize"], "bold"), loc="left", weight="bold")
    greatest = np.array([max(float(part.to_numpy(float).max()) for part in own) for own in maps.values()])
    norm = PowerNorm(0.5, vmin=0, vmax=scale_end(greatest) or 1.0)
    for place, axes in enumerate(page.panels):
        own = list(maps.values())[place // 2]
        _map(axes, own[place % 2], norm, most={2: 6, 4: 3}.get(columns, 2))
    _scale(page, norm, beyond=bool(greatest.max() > norm.vmax))
    page.label("cycle (one column per snapshot)", "layer (0 = embedding)")
    return page.figure


def panel_title(name: str, kind: str, columns: int) -> str:
    """`gpt: rotation`; of a long name as much as there is room for, so that the kind always stands there.

    Where maps are narrow, the left one has the name alone, which may run on above the right one.
    """
    if columns == MOST:
        return ""
    room = WIDTH / columns - FRAME - text_width(f": {kind}", RC["axes.titlesize"], "bold")
    return f"{shortened(name, room, RC['axes.titlesize'], 'bold')}: {kind}"


def scale_end(greatest: Floats) -> float:
    """The largest value, or twice the median learner's if one is so far out that it would leave the others one colour.

    greatest: of each learner.
    """
    usual = 2 * float(np.median(greatest))
    return usual if 0 < 2 * usual < greatest.max() else float(greatest.max())


def _scale(page: Sheet, norm: PowerNorm, beyond: bool) -> None:
    """The colour scale, in the strip above the panels; `beyond`: its end stands for all that is larger."""
    left, bottom, _, height = page.strip
    middle = bottom + 0.62 * height
    says = "share of the norm at cycle 0 (square-root scale):"
    page.figure.text(left + MARGIN / WIDTH, middle, says, size=TEXT, color=GREY, va="center")
    start = (MARGIN + text_width(says, TEXT) + 0.15) / WIDTH
    axes = page.figure.add_axes((start, bottom + 0.5 * height, 0.95 - start, 0.24 * height))
    axes.set_in_layout(False)
    bar = page.figure.colorbar(ScalarMappable(norm), cax=axes, orientation="horizontal")
    bar.ax.xaxis.set_major_locator(MaxNLocator(5))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if beyond:
        bar.ax.xaxis.set_major_locator(FixedLocator([*np.linspace(0, norm.vmax or 1.0, 5)]))
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda at, place: f"{'≥ ' if place == 4 else ''}{at:.2g}"))


def split(table: pd.DataFrame) -> Maps:
    """The two maps of one learner: √(drift² − rest²), never below 0, and rest."""
    both = {
        measure: table[table["measure"] == measure].pivot_table(
            index="layer", columns="cycle", values="value", aggfunc="mean"
        )
        for measure in (DRIFT, REST)
    }
    drift, rest = both[DRIFT].align(both[REST], join="inner")
    return Maps((drift**2 - rest**2).clip(lower=0) ** 0.5, rest)


def last_shares(table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Per learner, in its last layer at its last cycle: the share that a rotation explains, and the same for noise."""
    found = {}
    for name in learners(table):
        own = table[(table["learner"] == name) & table["measure"].isin([SHARE, NULL])]
        own = own[own["layer"] == own["layer"].max()]
        means = own[own["cycle"] == own["cycle"].max()].groupby("measure")["value"].mean()
        if SHARE in means:
            found[name] = (float(means[SHARE]), float(means.get(NULL, np.nan)))
    return found


def headline(table: pd.DataFrame, shares: dict[str, tuple[float, float]]) -> str:
    """How much of the drift of the last layer is a rotation."""
    last = int(table["cycle"].max())
    if not shares:
        return f"Drift of the hidden states since cycle 0, over {in_cycles(last)}"
    least, most = (pick(shares, key=lambda name: shares[name][0]) for pick in (min, max))
    said = {name: f"{round(share, 2) + 0.0:.0%}".replace("-", "−") for name, (share, _) in shares.items()}
    if len(shares) == 1:
        noise = shares[most][1]
        beside = "" if np.isnan(noise) else f" (of pure noise: {noise:.0%})".replace("-", "−")
        return f"{most}: a rotation explains {said[most]} of the squared drift of the last layer{beside}"
    return (
        f"A rotation explains {of(said[least], least)} to {of(said[most], most)} of the squared drift of the last layer"
    )


def _map(axes: Axes, part: pd.DataFrame, norm: PowerNorm, most: int) -> None:
    """One column per cycle, one row per layer, the first layer at the bottom."""
    axes.pcolormesh(
        np.arange(part.shape[1] + 1), np.arange(part.shape[0] + 1), part.to_numpy(float), norm=norm, **SEAMLESS
    )
    axes.grid(False)
    cycles, layers = part.columns.to_numpy(), part.index.to_numpy()
    stride = -(-len(cycles) // most)
    # counted from the end, so that the last cycle always has its label
    places = np.arange(len(cycles) - 1, -1, -stride)[::-1]
    axes.xaxis.set_major_locator(FixedLocator((places + 0.5).tolist()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: short(float(cycles[int(place)]))))
    rows_shown = np.arange(0, len(layers), -(-len(layers) // 7))
    axes.yaxis.set_major_locator(FixedLocator((rows_shown + 0.5).tolist()))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda place, _: str(layers[int(place)])))
    axes.tick_params(length=0)
