"""What probes cost after one temperature was set right: skill that is left, without overconfidence."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

import numpy as np

from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats

SOURCE = "interventions (tempered)"
MEASURES: dict[str, Definition] = {
    "bits_per_byte_tempered": {
        "unit": "bit/byte",
        "formula": "bits per byte of the probe, each half at the temperature that is best for the other half",
        "source": SOURCE,
    },
    "temperature": {
        "unit": "1",
        "formula": "factor by which log p is divided that is best for a half: geometric mean of both halves; "
        "low, high: the two",
        "source": SOURCE,
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle and probe, condition `target:<probe>`."""
    found = run.experiment("tempered")
    if found.empty:
        return
    for (cycle, quantity), rows in found.groupby(["cycle", "quantity"], observed=True):
        condition = str(quantity).removeprefix("nll:")
        nll_HT = rows.pivot_table(index="item", columns="other", values="value")
        cost, chosen = crossed(nll_HT.to_numpy())
        size = run.metadata["bytes"][probe(condition, run.metadata["bytes"])]
        low, high = sorted(2.0 ** (float(str(nll_HT.columns[place])) / 4) for place in chosen)
        at = int(str(cycle))
        yield Row(at, "bits_per_byte_tempered", cost / (log(2) * size), direction="1>2", condition=condition)
        yield Row(at, "temperature", (low * high) ** 0.5, low, high, direction="1>2", condition=condition)


def crossed(nll_HT: Floats) -> tuple[float, list[int]]:
    """(nat, chosen): what both halves [2, T] cost, each at the temperature that is best for the other."""
    best = [int(np.argmin(nll_T)) for nll_T in nll_HT]
    return float(nll_HT[0, best[1]] + nll_HT[1, best[0]]), best


def probe(condition: str, known: dict[str, int]) -> str:
    """The text behind `target:<name>` in the direction 1>2."""
    name = condition.removeprefix("target:")
    return name if name in known else {"paraphrase": "paraphrase-meta", "shuffled": "shuffled-2"}[name]
