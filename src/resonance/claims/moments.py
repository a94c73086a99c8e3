"""How much a loss depends on the moment in a cycle at which it is read, against how much on the schedule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from resonance.claims.evidence import Evidence, Missing, Values
from resonance.params import DIRECTIONS

MOMENT = "log (spread of a loss by the moment in a cycle / between schedules)"


def moment(evidence: Evidence, roles: Sequence[str]) -> Values:
    """By initialisation, mean over chunk edges of log (M / S), both of the loss of a direction, rms over the four.

    roles: of the schedules. M: standard deviation over how long ago the direction was shown, rms over schedules; S:
    between schedules, at the same cycle. Every schedule ends its cycles in orders of its own, so that M is a part of S:
    0 where orders change a loss by what was shown last and by nothing more.

    Raises:
        Missing: not measured, or the loss of some run does not depend on either.
    """
    runs = ["pair", "seed"]
    moments, schedules = [], []
    for direction in DIRECTIONS:
        spread, loss = (
            pd.concat([evidence.series(name, measure, directions=(direction,)) for name in roles])
            for measure in ("recency.recency_spread", "transfer.loss")
        )
        moments.append((spread**2).groupby(level=runs).mean())
        schedules.append(loss.groupby(level=runs).var())
    M, S = (sum(found[1:], found[0]).to_numpy(np.float64) for found in (moments, schedules))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = pd.DataFrame(np.log(M / S) / 2, moments[0].index)
    found = logs.where(np.isfinite(logs)).mean(axis=1)
    if found.isna().any():
        raise Missing("at no chunk edge do both orders and moments change the loss")
    return found.groupby(level="seed").mean()
