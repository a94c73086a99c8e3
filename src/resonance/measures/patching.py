"""Through which layer does a clause of the input reach the clause of the target that says the same?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import nan
from typing import NamedTuple

import numpy as np
import pandas as pd

from resonance.measures.retrieval import Links
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats

LEAST = 0.5
"""Nats per target clause that the corrupted input must cost before shares of them are spoken of."""

SOURCE = "interventions (patching), links of the pair"
SHARE = "sum of (patched - corrupted) / sum of (clean - corrupted), log p of target clauses"
MEASURES: dict[str, Definition] = {
    "patched_stake": {
        "unit": "nat/clause",
        "formula": "mean over linked clauses (input clause that is put back, target clause) of log p of the target "
        "clause behind the clean input minus behind the corrupted one",
        "source": SOURCE,
    },
    "patched_recovery": {
        "unit": "share",
        "formula": f"{SHARE}, over linked clauses; clean states of the input clause put back behind layer l. Null "
        f"where clean - corrupted is below {LEAST} nat per clause",
        "source": SOURCE,
    },
    "patched_recovery_other": {
        "unit": "share",
        "formula": "patched_recovery over target clauses that are not linked with the input clause",
        "source": SOURCE,
    },
    "patched_recovery_moved": {
        "unit": "share",
        "formula": "patched_recovery with as many states put back at other places, half of the input further on",
        "source": SOURCE,
    },
    "patched_gain": {
        "unit": "share",
        "formula": "patched_recovery - patched_recovery_other",
        "source": SOURCE,
    },
    "patched_gain_null": {
        "unit": "share",
        "formula": "patched_gain with the links shifted round: mean, 2.5 and 97.5 % of all shifts",
        "source": SOURCE,
    },
    "patched_layer": {
        "unit": "layer",
        "formula": "the layer with the greatest patched_gain, the lowest of equal ones; null where there is none",
        "source": SOURCE,
    },
}


class Patched(NamedTuple):
    """Findings of one mark and direction: input clauses A that were put back, target clauses B, layers L; in nats.

    gained_LAB: what the patch of a clause brings back of each target clause. moved_LAB: the same of other places.
    stake_B: what there is to be brought back.
    """

    layers: Sequence[int]
    gained_LAB: Floats
    moved_LAB: Floats
    stake_B: Floats
    links_AB: Links


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, direction and layer; no row where no clause could be put back."""
    found = run.experiment("patching")
    if found.empty:
        return
    links = run.snapshots.links
    for (cycle, direction), rows in found.groupby(["cycle", "direction"], observed=True):
        if (rows["quantity"] == "patched").any():
            for row in measured(patched(rows, links, str(direction))):
                yield row._replace(cycle=int(str(cycle)), direction=str(direction))


def measured(of: Patched) -> Iterator[Row]:
    """What can be said of one direction at one cycle; both are left open."""
    links_AB, gains = of.links_AB, []
    count = int(links_AB.sum())
    yield Row(0, "patched_stake", float((links_AB * of.stake_B).sum() / count) if count else nan)
    for layer, gained_AB, moved_AB in zip(of.layers, of.gained_LAB, of.moved_LAB, strict=True):
        linked, other = share(gained_AB, of.stake_B, links_AB), share(gained_AB, of.stake_B, ~links_AB)
        yield Row(0, "patched_recovery", linked, layer=layer)
        yield Row(0, "patched_recovery_other", other, layer=layer)
        yield Row(0, "patched_recovery_moved", share(moved_AB, of.stake_B, links_AB), layer=layer)
        yield Row(0, "patched_gain", linked - other, layer=layer)
        yield Row(0, "patched_gain_null", *null(gained_AB, of.stake_B, links_AB), layer=layer)
        gains.append(linked - other)
    known = np.isfinite(gains).any()
    yield Row(0, "patched_layer", float(of.layers[int(np.nanargmax(gains))]) if known else nan)


def share(gained_AB: Floats, stake_B: Floats, chosen_AB: Links) -> float:
    """Sum before ratio: what is brought back of all that is at stake in these clauses; NaN where that is too little."""
    stake = float((chosen_AB * stake_B).sum())
    if stake < LEAST * max(int(chosen_AB.sum()), 1):
        return nan
    return float(gained_AB[chosen_AB].sum()) / stake


def null(gained_AB: Floats, stake_B: Floats, links_AB: Links) -> tuple[float, float, float]:
    """The gain with the links shifted round the target, for every shift: mean, 2.5 and 97.5 %. Orders stay."""
    found = []
    for shift in range(1, links_AB.shape[1]):
        wrong_AB = np.roll(links_AB, shift, axis=1)
        found.append(share(gained_AB, stake_B, wrong_AB) - share(gained_AB, stake_B, ~wrong_AB))
    known = np.array(found)[np.isfinite(found)]
    if not len(known):
        return nan, nan, nan
    low, high = np.percentile(known, [2.5, 97.5])
    return float(known.mean()), float(low), float(high)


def patched(rows: pd.DataFrame, links: tuple[tuple[int, int], ...], direction: str) -> Patched:
    """The findings of one mark and direction as arrays."""
    words = rows["quantity"].astype(str)
    clean_B, corrupted_B = (
        rows[words == name].set_index("other")["value"].sort_index() for name in ("clean", "corrupted")
    )
    tables = {
        name: rows[words == name]
        .astype({"layer": "int64", "item": "int64"})
        .pivot_table(index=["layer", "item"], columns="other", values="value")
        for name in ("patched", "moved")
    }
    layers, items = (tables["patched"].index.unique(level).tolist() for level in ("layer", "item"))
    gained, moved = (
        (table.to_numpy() - corrupted_B.to_numpy()).reshape(len(layers), len(items), -1) for table in tables.values()
    )
    pairs = {(first, second) if direction == "1>2" else (second, first) for first, second in links}
    linked = np.array([[(item, other) in pairs for other in corrupted_B.index] for item in items])
    return Patched(layers, gained, moved, (clean_B - corrupted_B).to_numpy(), linked)
