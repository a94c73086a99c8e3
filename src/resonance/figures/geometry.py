"""How many dimensions the target states of each layer fill, by three measures, over cycles."""

from __future__ import annotations

import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resonance.figures.blocks import Column, blocks
from resonance.figures.cycles import LABEL, cycle_axis, in_cycles
from resonance.figures.notice import notice
from resonance.figures.rows import Tables, describe, draw_seeds, learners, rows
from resonance.figures.sheet import UNBROKEN, of
from resonance.figures.style import DASHES, GREY, MARKERS, SMALL, Mark, styled

COLUMNS = {
    "participation_ratio": Column("participation ratio", "dimensions"),
    "rankme": Column("RankMe", "dimensions"),
    "two_nn": Column("two nearest neighbours", "dimensions"),
}
MOST = 6
"""Layers that can be told apart in one panel."""


@styled
def draw(tables: Tables) -> Figure:
    """A row of three panels per learner, one line per layer: dimensions of the states of the targets.

    Layers go from dark (the embedding) to light. Of deep networks six layers are drawn, evenly spaced.

    Args:
        tables: family `geometry`, condition `target`: `participation_ratio`, `rankme`, `two_nn` per layer; means over
            the four directions.
    """
    table = rows(tables, "geometry", measure=list(COLUMNS), condition="target")
    table = table[table["layer"].notna()]
    if table.empty:
        return notice("Dimensions of the states", "the table geometry holds no rows of the target states.")
    names = learners(table)
    layers = shown_layers(table)
    marks = dict(zip(layers, layer_marks(layers), strict=True))
    page = blocks(
        names,
        list(COLUMNS.values()),
        title=headline(table),
        subtitle=describe(table) + " · target states, mean over the four directions",
        legend=list(marks.values()),
        note="layer (0 = embedding):",
        across=LABEL,
    )
    last = int(table["cycle"].max())
    for name in names:
        own = table[table["learner"] == name]
        for measure, axes in zip(COLUMNS, page.of[name], strict=True):
            drawn = own[own["measure"] == measure]
            for layer, mark in marks.items():
                draw_seeds(axes, drawn[drawn["layer"].astype(int) == layer], mark)
            if drawn.empty:
                axes.text(0.5, 0.5, "not measured", size=SMALL, color=GREY, ha="center", transform=axes.transAxes)
    for axes in page.of[names[0]]:
        cycle_axis(axes, last, most=page.ticks)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return page.figure


def shown_layers(table: pd.DataFrame) -> list[int]:
    """All layers, or of many six that are evenly spaced, the first and the last among them."""
    layers = sorted(int(layer) for layer in table["layer"].unique())
    if len(layers) <= MOST:
        return layers
    return [layers[round(place * (len(layers) - 1) / (MOST - 1))] for place in range(MOST)]


def layer_marks(layers: list[int]) -> list[Mark]:
    """Colours from dark to light in the order of the layers; dash and marker say the same again."""
    scale = colormaps["cividis"]
    steps = max(len(layers) - 1, 1)
    return [
        Mark(
            to_hex(scale(0.88 * place / steps)), DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)], str(layer)
        )
        for place, layer in enumerate(layers)
    ]


def headline(table: pd.DataFrame) -> str:
    """The participation ratio of the last layer, before and after."""
    own = table[(table["measure"] == "participation_ratio")]
    last = int(table["cycle"].max())
    if own.empty:
        return f"Dimensions of the target states over {in_cycles(last)}"
    own = own[own["layer"] == own.groupby("learner")["layer"].transform("max")]
    ends = own.groupby(["learner", "cycle"], sort=False)["value"].mean()
    moved = {
        name: (float(ends[name].sort_index().iloc[0]), float(ends[name].sort_index().iloc[-1]))
        for name in learners(own)
    }
    said = {name: f"{start:.3g}{UNBROKEN}→{UNBROKEN}{end:.3g}" for name, (start, end) in moved.items()}
    if len(moved) == 1:
        ((name, text),) = said.items()
        return f"{name}: participation ratio of the last layer {text} dimensions in {in_cycles(last)}"
    change = {name: end / start if start else 1.0 for name, (start, end) in moved.items()}
    least, most = min(change, key=change.__getitem__), max(change, key=change.__getitem__)
    return (
        f"Participation ratio of the last layer in {in_cycles(last)}: {of(said[least], least)} to "
        f"{of(said[most], most)} dimensions"
    )
