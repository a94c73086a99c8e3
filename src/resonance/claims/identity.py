"""C8: is the same meaning the same state, whatever its role?

The same *words* in two roles have like states in any network, trained or not, so there is hardly room for a gain over
the untrained one, and role retrieval can only be asked not to get lost. What decides is other words: segments of an
unseen paraphrase must find the segment that they reword, beyond common words and beyond the untrained network, the
better of the two in each unit.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from resonance.claims.claim import Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, START, Evidence, Moment, Unidentifiable, Values
from resonance.claims.verdict import Ruling

CLAIM = Claim(
    id="C8",
    name="identity",
    title="It learns the self-identity of meaning (T1→T1 against T1→T2)",
    endpoint="mean reciprocal rank of the reworded segment, by hidden states, unseen paraphrases, at the end, mean of "
    "the layers; and no loss above 0.1 of that of the same segment in two roles",
    unit="MRR",
    contrast="against the better of common words and the untrained network",
    sesoi=0.1,
    direction="above",
    roles={"learner": Role("gpt")},
    control="the paraphrases can be found: by their words alone with a reciprocal rank of at least 0.5",
    traps=(
        "An untrained network tells roles apart by position alone: the mean of each role is taken away.",
        "A reciter has equal target states in 1>2 and 2>2: roles are compared as input against target.",
        "Mean over all layers, so that no layer is picked.",
    ),
    would_change="paraphrases that are found no better than by common words, in texts that were never trained on",
    figure="correspondence",
)


def judge(evidence: Evidence) -> Ruling:
    """The paraphrase gain, and what becomes of the same words in two roles."""
    words = evidence.value("learner", "correspondence.mrr_paraphrase_lexical", START)
    if words.mean() > 1 - CLAIM.sesoi:
        raise Unidentifiable(f"Common words alone find {words.mean():.2f}: there is no room for a gain of 0.1.")

    def reworded(at: Moment) -> Values:
        untrained = evidence.value("learner", "correspondence.mrr_paraphrase", START)
        return evidence.value("learner", "correspondence.mrr_paraphrase", at) - np.maximum(words, untrained)

    def roles(at: Moment) -> Values:
        return evidence.value("learner", "correspondence.mrr_roles", at, conditions=("input-target",))

    return Ruling(
        criteria=(
            Criterion.above(CLAIM.sesoi, reworded(END), "reworded segments beyond the best baseline", CLAIM.unit),
            Criterion.above(-0.1, roles(END) - roles(START), "same segment in two roles, since cycle 0", CLAIM.unit),
        ),
        control=evidence.control(CLAIM.control, lambda: words, 0.5),
        secondary=chain(
            evidence.over_time("reworded segments beyond the best baseline", reworded, tested=True),
            evidence.secondary("same segment in two roles (MRR)", lambda: roles(END)),
        ),
    )
