"""Does the output follow a name or number that is swapped in the input?"""

from __future__ import annotations

from collections.abc import Iterator

from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

SOURCE = "interventions (anchors)"
MEASURES: dict[str, Definition] = {
    "follow_share": {
        "unit": "share",
        "formula": "swapped anchors with log p(swapped) > log p(original) where the other text has the anchor",
        "source": SOURCE,
    },
    "follow_share_sham": {
        "unit": "share",
        "formula": "the same where the other text has an untouched anchor: swapped against what stands there",
        "source": SOURCE,
    },
    "follow": {
        "unit": "nat",
        "formula": "mean over anchors of the change that the swap makes to log p(swapped) - log p(original), at the "
        "anchor's place; low, high: least and greatest",
        "source": SOURCE,
    },
    "follow_sham": {"unit": "nat", "formula": "the same at the untouched place", "source": SOURCE},
    "number": {"unit": "anchors", "formula": "anchors that were swapped, one at a time", "source": SOURCE},
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle and direction between the texts; no row of pairs without anchors."""
    found = run.experiment("anchors")
    if found.empty:
        return
    for (cycle, direction), rows in found.groupby(["cycle", "direction"], observed=True):
        at, where = int(str(cycle)), str(direction)
        odds = rows.pivot_table(index="item", columns="quantity", values="value", observed=True)
        for place, suffix in (("own", ""), ("sham", "_sham")):
            change = odds[place] - odds[f"{place}_before"]
            share = float((odds[place] > 0).mean())
            yield Row(at, f"follow_share{suffix}", share, direction=where)
            mean, low, high = (float(value) for value in (change.mean(), change.min(), change.max()))
            yield Row(at, f"follow{suffix}", mean, low, high, direction=where)
        yield Row(at, "number", float(len(odds)), direction=where)
