"""Where no marker tells the direction, the right probability of the first differing token is known."""

from __future__ import annotations

from math import exp

from resonance.claims.evidence import Evidence, Missing, Moment, Values
from resonance.params import DIRECTIONS, Direction, Weighted

ROLE = "posterior"


def distance(evidence: Evidence, at: Moment) -> Values:
    """Mean over the four directions of |p̂ − p|, p̂ = exp(−nll) of the first token in which the two targets differ.

    p is the share of this direction among those with its input (a half, or what a weighted schedule says), each by the
    tokens of its target: the loss is a mean over them, so that one token of a long target weighs less. No network
    without a marker or a carried state has a better answer.
    """
    if evidence.learner(ROLE).marker != "none":
        raise Missing(f"{evidence.name(ROLE)} has a marker: set `marker: none`.")
    order = evidence.study.schedules[evidence.place(ROLE)[1]]
    said, weight = (
        {direction: evidence.value(ROLE, f"loss.{name}", at, directions=(direction,)) for direction in DIRECTIONS}
        for name in ("nll_first_difference", "target_tokens")
    )
    weight = {direction: often(order, direction) / tokens for direction, tokens in weight.items()}
    gaps = []
    for direction in DIRECTIONS:
        rivals = [weight[other] for other in DIRECTIONS if other[0] == direction[0]]
        right = weight[direction] / sum(rivals[1:], rivals[0])
        gaps.append((said[direction].map(lambda cost: exp(-cost)) - right).abs())
    return sum(gaps[1:], gaps[0]) / len(gaps)


def often(order: object, direction: Direction) -> float:
    """How often this direction comes, up to a common factor."""
    return order.weights.get(direction, 0.0) if isinstance(order, Weighted) else 1.0
