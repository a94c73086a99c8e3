"""C1c: does it lose what its base could?

The rise of bits per byte on an unrelated text, after one temperature was fitted on the other half of it, so that
overconfidence does not count as loss of skill. The rise is taken from the lowest mark, but a run's own minimum is below
its end by chance alone. So the mark is chosen by the *other* seeds: without a rise the expectation is then 0.
"""

from __future__ import annotations

from itertools import chain
from math import log

import numpy as np
import pandas as pd

from resonance.claims.claim import Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, START, Evidence, Missing, Unidentifiable, Values
from resonance.claims.induction import induction
from resonance.claims.verdict import Ruling

CLAIM = Claim(
    id="C1c",
    name="chokes",
    title="An ordinary language model trained this way chokes",
    endpoint="rise of tempered bits per byte on the unrelated probe, from the mark that is lowest in the other seeds "
    "to the end",
    unit="bit/byte",
    contrast="the end against the best mark of the same run",
    sesoi=0.1,
    direction="above",
    roles={"learner": Role("gpt")},
    control="its base has a skill to lose: at cycle 0 at least 1 nat/token below the uniform distribution",
    traps=(
        "From scratch there is no skill to lose.",
        "A network that grows too sure of itself gets worse without having lost anything: hence the temperature.",
        "Nats per token of another text mean little, since the tokenizer knows the pair: hence bits per byte.",
        "A base that does not continue what it has just read (a net induction score below 0.1 nat/token at cycle 0) "
        "has no such skill to lose: no fall is told. In a network that is too sure of itself the score may grow with "
        "all losses: read the fall of its accuracy beside it.",
    ),
    would_change="an unrelated text that costs no more at the end than at its best, within 0.1 bit/byte",
    figure="probes",
)
PROBE = ("target:unrelated",)


def judge(evidence: Evidence) -> Ruling:
    """The rise; beside it the rise from cycle 0 and without the temperature, and the fall of induction."""
    learner = evidence.learner("learner")
    if learner.init == "random" or not (learner.network.published or evidence.study.base.tokens):
        raise Unidentifiable("This learner starts from fresh weights: there is no skill to lose. Set `init: base`.")

    def skill() -> Values:
        if learner.network.published:
            raise Missing("how many tokens a published network knows is not written in params.yaml")
        return log(evidence.study.text.vocabulary) - evidence.value("learner", "probes.nll", START, conditions=PROBE)

    def since_start(measure: str) -> Values:
        return evidence.value("learner", measure, END, conditions=PROBE) - evidence.value(
            "learner", measure, START, conditions=PROBE
        )

    tempered = "tempered.bits_per_byte_tempered"
    bits = evidence.by_unit(evidence.series("learner", tempered, conditions=PROBE))
    return Ruling(
        criteria=(Criterion.above(CLAIM.sesoi, rise(bits), "rise on the unrelated text", CLAIM.unit),),
        control=evidence.control(CLAIM.control, skill, 1.0),
        secondary=chain(
            evidence.secondary("rise since cycle 0 (bit/byte)", since_start, tempered, tested=True),
            evidence.secondary("the same, no temperature", since_start, "probes.bits_per_byte", tested=True),
            induction(evidence),
        ),
    )


def rise(bits: pd.DataFrame) -> Values:
    """Last column minus the one that is lowest in the mean of all other rows; of a single row, minus its own lowest."""
    x = bits.to_numpy(np.float64)
    others = [np.delete(x, row, axis=0) if len(x) > 1 else x for row in range(len(x))]
    lowest = [int(rest.mean(axis=0).argmin()) for rest in others]
    return pd.Series(x[:, -1] - x[np.arange(len(x)), lowest], bits.index, float)
