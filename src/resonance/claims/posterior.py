"""Where no marker tells the direction, the right probability of the first differing token is known."""

from __future__ import annotations

from math import exp

from resonance.claims.evidence import Evidence, Missing, Moment, Values
from resonance.params import DIRECTIONS, Weighted

ROLE = "posterior"


def distance(evidence: Evidence, at: Moment) -> Values:
    """Mean over the four directions of |p̂ − p|, p̂ = exp(−nll) of the first token in which the two targets differ.

    p is the share of this direction among those with its input: a half, or what a weighted schedule says. Bayes' rule
    gives no network without a marker or a carried state a better answer.
    """
    if evidence.learner(ROLE).marker != "none":
        raise Missing(f"{evidence.name(ROLE)} has a marker: set `marker: none`.")
    order = evidence.study.schedules[evidence.place(ROLE)[1]]
    gaps = []
    for direction in DIRECTIONS:
        nll = evidence.value(ROLE, "loss.nll_first_difference", at, directions=(direction,))
        gaps.append((nll.map(lambda cost: exp(-cost)) - share(order, direction)).abs())
    return sum(gaps[1:], gaps[0]) / len(gaps)


def share(order: object, direction: str) -> float:
    """How often this direction comes among those with the same input."""
    if not isinstance(order, Weighted):
        return 0.5
    weights = {name: weight for name, weight in order.weights.items() if name[0] == direction[0]}
    return weights.get(direction, 0.0) / sum(weights.values())  # type: ignore[call-overload]
