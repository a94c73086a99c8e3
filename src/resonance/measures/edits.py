"""What low-rank edits make of a frozen network, downstream of where they are made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

SOURCE = "interventions (edits)"
MEASURES: dict[str, Definition] = {
    "drift_downstream": {
        "unit": "share of the norm without edits",
        "formula": "||H' - H|| / ||H - mean H||, hidden states above the lowest edit with and without edits; mean over "
        "directions",
        "source": SOURCE,
    },
    "outside_share": {
        "unit": "share of the squared drift",
        "formula": "of ||H' - H||^2, what is at right angles to the joint span of all R; mean over directions",
        "source": SOURCE,
    },
    "drift_random": {
        "unit": "share of the norm without edits",
        "formula": "drift_downstream of edits of the same rank and lengths in random spaces: mean, 2.5 and 97.5 % of 8",
        "source": SOURCE,
    },
    "outside_share_random": {
        "unit": "share of the squared drift",
        "formula": "outside_share of these, outside of their own spaces: mean, 2.5 and 97.5 % of 8",
        "source": SOURCE,
    },
}
PLACES = ("unedited", "edited")
NAMES = {"drift": "drift_downstream", "outside": "outside_share"}
RANDOM = {"drift_random": "drift_random", "outside_random": "outside_share_random"}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, layer and condition (`unedited` or `edited` places); no row without edits of hidden states."""
    found = run.experiment("edits")
    if found.empty:
        return
    found = found.astype({"layer": "int64", "item": "int64"})
    for key, rows in found.groupby(["cycle", "layer", "item"], observed=True):
        cycle, layer, condition = int(str(key[0])), int(str(key[1])), PLACES[int(str(key[2]))]
        values = {str(name): each for name, each in rows.groupby("quantity", observed=True)}
        for quantity, name in NAMES.items():
            if quantity in values:
                yield Row(cycle, name, values[quantity]["value"].mean(), layer=layer, condition=condition)
        for quantity, name in RANDOM.items():
            if quantity in values:
                drawn = values[quantity].groupby("other")["value"].mean().to_numpy()
                low, high = np.percentile(drawn, [2.5, 97.5])
                yield Row(cycle, name, float(drawn.mean()), float(low), float(high), layer, condition=condition)
