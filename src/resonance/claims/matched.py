"""Two learners compared where they are equally good, and not where they are equally old."""

from __future__ import annotations

import numpy as np
import pandas as pd

from resonance.claims.evidence import Evidence, Missing, Values, Where, paired


def at_equal_loss(evidence: Evidence, first: str, second: str, measure: str, where: Where) -> Values:
    """The measure in one role minus that in the other, at the lowest loss that both reach, unit by unit.

    Between marks both loss and measure are taken as straight lines (equal steps are shown by the figures).
    """
    curves = []
    for role in (first, second):
        loss = evidence.by_unit(evidence.series(role, "loss.nll", conditions=("clean",)))
        curves.append((loss, evidence.by_unit(evidence.series(role, measure, **where))))
    shared = curves[0][0].index.intersection(curves[1][0].index)
    values = []
    for loss, measured in curves:
        levels = [max(each.loc[unit].min() for each, _ in curves) for unit in shared]
        at = [when(loss.loc[unit], level) for unit, level in zip(shared, levels, strict=True)]
        found = [np.interp(t, measured.columns, measured.loc[u]) for t, u in zip(at, shared, strict=True)]
        values.append(pd.Series(found, shared, float))
    if any(each.isna().any() for each in values):
        raise Missing(f"{measure} has no value at the loss that both reach.")
    return paired(*values)


def when(loss: pd.Series, level: float) -> float:
    """The cycle, between marks too, at which a curve of losses first comes down to a level that it reaches."""
    place = int(np.flatnonzero(loss <= level)[0])
    if place == 0:
        return float(loss.index[0])
    (c0, c1), (l0, l1) = loss.index[place - 1 : place + 1], loss.iloc[place - 1 : place + 1]
    return float(c0 + (c1 - c0) * (l0 - level) / (l0 - l1))
