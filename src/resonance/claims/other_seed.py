"""A network of another seed as null: what a rotation explains between two networks that never were one.

That takes seeds that start apart, each from a base of its own or from fresh weights. Seeds that share their base share
cycle 0, so the other seed's number is the same thing measured again: around the ring of seeds the differences from it
sum to 0, whatever is true.
"""

from __future__ import annotations

from collections.abc import Iterator

from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, Evidence, Missing, Unidentifiable, Values


def beyond(evidence: Evidence, share: Values) -> Iterator[Criterion]:
    """The rotation share beyond that of another seed's network; nothing where one seed decides nothing anyway.

    Raises:
        Missing: there are verdicts, of many pairs, and one seed.
        Unidentifiable: all seeds start from the same weights.
    """
    learner, (_, _, seeds) = evidence.learner("learner"), evidence.place("learner")
    if len(seeds) < 2 and evidence.unit == "seed":
        return
    if len(seeds) < 2:
        raise Missing("A network of another seed is a null here: give the learner two seeds or more.")
    if learner.network.published or (learner.init == "base" and not evidence.study.base.per_seed):
        raise Unidentifiable("All seeds start from one base, so none is a null of another: set `base.per_seed: true`.")
    other = evidence.value("learner", "between.rotation_share_other_seed", END, from_layer=1)
    yield Criterion.above(0.0, share - other, "the same beyond a network of another seed", "of its square")
