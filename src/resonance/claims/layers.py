"""Links between layers: behind which one does a clause of the input reach the clause that says the same?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from resonance.claims.claim import CROSS
from resonance.claims.evidence import Evidence, Values, Where
from resonance.claims.verdict import Secondary


def between_layers(evidence: Evidence, roles: Sequence[str]) -> Iterator[Secondary]:
    """What clean states of a clause, put back behind one layer, restore of the linked clause beyond all others.

    Means over the learners of `roles` and over 1>2 and 2>1, at the end; see `measures.patching`.
    """

    def gain(name: str, layer: int | None = None) -> Values:
        where: Where = {"directions": CROSS} if layer is None else {"directions": CROSS, "layer": layer}
        return pd.DataFrame({role: evidence.value(role, f"patching.{name}", **where) for role in roles}).mean(axis=1)

    def beyond_shifted() -> Values:
        return gain("patched_gain") - gain("patched_gain_null")

    text = "links between layers"
    yield from evidence.secondary(f"{text} beyond shifted ones, mean over layers", beyond_shifted, tested=True)
    for layer in layers(evidence, roles):
        yield from evidence.secondary(f"{text}, behind layer {layer}", gain, "patched_gain", layer)
    yield from evidence.secondary("the layer with the greatest of these, mean over directions", gain, "patched_layer")


def layers(evidence: Evidence, roles: Sequence[str]) -> list[int]:
    """The layers behind which states were put back."""
    rows = evidence.tables.get("patching")
    if rows is None:
        return []
    found = rows[(rows["measure"] == "patched_gain") & rows["learner"].isin([evidence.name(role) for role in roles])]
    return sorted({int(layer) for layer in found["layer"].dropna()})
