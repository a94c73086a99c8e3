"""C9: do the contexts interfere?

Finite steps of the run's own optimizer: what a step on one direction does to the loss of another, as a share of what it
gains on its own. Gradients' cosines would not do: shared inputs and targets force a pattern on them, and the optimizer
does not follow them. Directions with the same input and another target are those that can be in each other's way; the
same target, and the reversed direction, are shown beside them. Only while both losses are within 0.1 to 3 nats.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import pandas as pd

from resonance.claims.claim import Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import Evidence, Grid, Missing, Values
from resonance.claims.verdict import Ruling
from resonance.params import DIRECTIONS

CLAIM = Claim(
    id="C9",
    name="interference",
    title="Contexts cross and interfere",
    endpoint="rise of the loss of the direction with the same input and the other target, per gain of the step's own "
    "direction, both beyond what momentum does alone, mean of all chunk edges at which both losses are within 0.1 to 3 "
    "nats",
    unit="of the own gain",
    contrast="the loss of the other direction after the step against before it",
    sesoi=0.05,
    direction="above",
    roles={"learner": Role("gpt"), "unrelated": Role("unrelated", "control")},
    control="a step on one half of a target's tokens helps the other half, by at least a tenth of its own gain",
    traps=(
        "Shared inputs and targets force a pattern on the cosines of gradients.",
        "Most of what a late step does is momentum: a step without a gradient is subtracted.",
        "Once all losses are near 0, a ratio of two small numbers says nothing.",
    ),
    would_change="steps that leave the other direction where it was, or help it",
    figure="interference",
)
LEAST, MOST = 0.1, 3.0
RELATIONS: dict[str, list[tuple[str, str]]] = {
    "same input": [("1>1", "1>2"), ("1>2", "1>1"), ("2>2", "2>1"), ("2>1", "2>2")],
    "same target": [("1>1", "2>1"), ("2>1", "1>1"), ("2>2", "1>2"), ("1>2", "2>2")],
    "reversed": [("1>2", "2>1"), ("2>1", "1>2")],
}


def judge(evidence: Evidence) -> Ruling:
    """Same input; the other relations, and the run with an unrelated second text, beside it."""

    def within(role: str, direction: str) -> Grid:
        loss = evidence.series(role, "transfer.loss", directions=(direction,))
        return (loss >= LEAST) & (loss <= MOST)

    def moved(relation: str, role: str = "learner") -> Values:
        steps = {}
        for i, j in RELATIONS[relation]:
            changes = evidence.series(role, "transfer.transfer_net", directions=(j,), conditions=(f"after:{i}",))
            steps[i, j] = changes.where(within(role, i) & within(role, j))
        return mean_of_all(steps)

    def halves() -> Values:
        grids = {i: evidence.series("learner", "transfer.halves_net", directions=(i,)) for i in DIRECTIONS}
        return mean_of_all({i: grid.where(within("learner", i)) for i, grid in grids.items()})

    def mean_of_all(grids: dict[Any, Grid]) -> Values:
        values = pd.concat(grids, axis=1).mean(axis=1)
        if values.isna().any():
            raise Missing("A run has no chunk edge with losses within 0.1 to 3 nats: make `chunks.first` smaller.")
        return evidence.by_unit(values)

    text = "loss of the other target of this input"
    return Ruling(
        criteria=(Criterion.above(CLAIM.sesoi, moved("same input"), text, CLAIM.unit),),
        control=evidence.control(CLAIM.control, halves, -0.1, "below"),
        secondary=chain(
            evidence.secondary("the other input of this target", moved, "same target", tested=True),
            evidence.secondary("the reversed direction", moved, "reversed", tested=True),
            evidence.secondary(f"{text}, unrelated second text", moved, "same input", "unrelated", tested=True),
        ),
    )
