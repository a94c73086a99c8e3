"""C1b: does it copy what stands in the input?

The other side of C1a: the edited token stands in the input now, and an answer with it was read there. One half of the
edits is asked for, not a tenth: "copies" says what it does, not that it could.
"""

from __future__ import annotations

from resonance.claims.claim import SAME, Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, Evidence, Moment, Unidentifiable, Values
from resonance.claims.verdict import Ruling

CLAIM = Claim(
    id="C1b",
    name="copies",
    title="An ordinary language model trained this way starts to copy the target",
    endpoint="share of edited tokens that are answered with the token in the input, at the end, mean of 1>1 and 2>2",
    unit="share",
    contrast="the edited token in the input against the stored one",
    sesoi=0.5,
    direction="above",
    roles={"learner": Role("gpt"), "copier": Role("copier", "control")},
    control="a learner that is known to copy follows at least 90 % of the edits",
    traps=(
        "On the clean input the copied and the stored token are the same: only edits tell them apart.",
        "An untrained network follows nothing and stores nothing.",
    ),
    would_change="more than half of the edited tokens followed, in new seeds",
    figure="probes",
)


def judge(evidence: Evidence) -> Ruling:
    """The follow share against one half."""
    if evidence.study.evaluation.edits < 30:
        raise Unidentifiable("Fewer than 30 edited tokens tell nothing: see `evaluation.edits`.")

    def followed(at: Moment, role: str = "learner") -> Values:
        return evidence.value(role, "probes.follow_share", at, directions=SAME, conditions=("input:edited",))

    return Ruling(
        criteria=(Criterion.above(CLAIM.sesoi, followed(END), "edited token followed", "of the edits"),),
        control=evidence.control(CLAIM.control, lambda: followed(END, "copier"), 0.9),
        secondary=evidence.over_time("edited token followed", followed),
    )
