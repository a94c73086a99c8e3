"""How many directions of the space a network uses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats

MEASURES: dict[str, Definition] = {
    "participation_ratio": {
        "unit": "dimensions",
        "formula": "(sum of l)^2 / sum of l^2, l the eigenvalues of the covariance of the token vectors",
        "source": "snapshots, fp64; condition: side (for probes: the text)",
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, layer, direction and side; for direction 'probe' per probe."""
    for cycle in run.snapshots.cycles:
        moment = run.snapshots.at(cycle)
        for layer in run.snapshots.layers:
            tokens = moment.layer(layer)
            conditions = np.where(tokens.direction == "probe", tokens.text, tokens.side)
            for direction, condition in sorted(set(zip(tokens.direction, conditions, strict=True))):
                own = tokens.vectors[(tokens.direction == direction) & (conditions == condition)]
                value = participation_ratio(own)
                yield Row(cycle, "participation_ratio", value, layer=layer, direction=direction, condition=condition)


def participation_ratio(x_ND: Floats) -> float:
    """(Σ λ)² / Σ λ² of the covariance of n vectors [n, D]: between 1 and min(D, n − 1); NaN where nothing varies.

    Both sums are traces, so no eigenvalue is computed: Σ λ = tr C, Σ λ² = ||C||_F².
    """
    centred = x_ND - x_ND.mean(axis=0)
    scale = np.abs(centred).max(initial=0.0)
    if scale <= 1e-12 * np.abs(x_ND).max(initial=0.0):
        return float("nan")
    centred /= scale
    wide = centred.shape[1] > centred.shape[0]
    gram = centred @ centred.T if wide else centred.T @ centred
    return float(np.trace(gram) ** 2 / np.square(gram).sum())
