"""The skill of continuing what was just read: what a base had of it, and what is left."""

from __future__ import annotations

from collections.abc import Iterator

from resonance.claims.evidence import END, START, Evidence, Missing, Values
from resonance.claims.verdict import Secondary, number

INDUCTION = 0.1
"""nat/token that a base must save on what it reads a second time, or there is no induction to lose."""


def induction(evidence: Evidence) -> Iterator[Secondary]:
    """How much less the learner continues what it has just read than its base did, where its base did.

    Net of what another place in a sequence does to random tokens: that alone moves the plain score by tenths of a nat.
    """

    def fall(measure: str) -> Values:
        return evidence.value("learner", measure, START) - evidence.value("learner", measure, END)

    score, accuracy = "induction.induction_score_net", "induction.induction_accuracy"
    try:
        base = float(evidence.value("learner", score, START).mean())
    except Missing:
        return
    if base < INDUCTION:
        yield Secondary(f"fall of the net induction score: none to lose, its base has {number(base)} nat/token", None)
        return
    yield from evidence.secondary("fall of the net induction score since cycle 0 (nat/token)", fall, score, tested=True)
    yield from evidence.secondary("fall of its accuracy since cycle 0 (share)", fall, accuracy, tested=True)
