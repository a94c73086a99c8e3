"""C2: does LoReFT build a structure of its own, without touching weights?

Looked at downstream of the edit, at positions that were not edited, outside the span of R: at the edited site a change
inside that span is there by construction. A random edit of the same rank and norm spreads downstream as well, so the
share of the drift that lies outside is compared with that of random edits.
"""

from __future__ import annotations

from itertools import chain

from resonance.claims.claim import Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, START, Evidence, Moment, Unidentifiable, Values, Where, paired
from resonance.claims.matched import at_equal_loss
from resonance.claims.verdict import Ruling

CLAIM = Claim(
    id="C2",
    name="structure",
    title="LoReFT builds a new structure of representations without touching weights",
    endpoint="share of the downstream drift outside span(R), minus that of random edits of the same rank and norm, at "
    "the end, unedited positions, mean of the layers",
    unit="share",
    contrast="the learned edit against random edits on the same frozen network",
    sesoi=0.1,
    direction="above",
    roles={"learner": Role("loreft"), "lora": Role("lora", "control"), "shuffled": Role("loreft-shuffled", "control")},
    control="the edit learned something: the loss on the pair fell by at least 0.5 nat/token",
    traps=(
        "At the edited site a drift inside span(R) is true by construction.",
        "Compared with another learner, equal steps are not equal loss: that contrast is taken at the same loss.",
        "If shuffled targets give the same structure, it is none of meaning.",
    ),
    would_change="random edits whose drift lies outside span(R) to the same share, or shuffled targets that do as much",
    figure="drift",
)
REFT = {"loreft", "noreft", "direft", "consreft"}


def judge(evidence: Evidence) -> Ruling:
    """Learned against random; beside it LoReFT on shuffled targets, and weights that change, at equal loss."""
    if (scope := evidence.learner("learner").train.tag) not in REFT:
        raise Unidentifiable(f"`train: {scope}` touches weights: the claim is about edits of representations.")

    def beyond(at: Moment, role: str = "learner") -> Values:
        unedited = ("unedited",)
        outside = evidence.value(role, "edits.outside_share", at, conditions=unedited)
        return outside - evidence.value(role, "edits.outside_share_random", at, conditions=unedited)

    def learned() -> Values:
        clean = ("clean",)
        start = evidence.value("learner", "loss.nll", START, conditions=clean)
        return start - evidence.value("learner", "loss.nll", END, conditions=clean)

    def beyond_shuffled() -> Values:
        return paired(beyond(END), beyond(END, "shuffled"))

    arms = (evidence, "learner", "lora", "similarity.drift", Where(from_layer=1))
    return Ruling(
        criteria=(Criterion.above(CLAIM.sesoi, beyond(END), "drift outside span(R) beyond random edits", CLAIM.unit),),
        control=evidence.control(CLAIM.control, learned, 0.5),
        secondary=chain(
            evidence.over_time("drift outside span(R) beyond random edits", beyond, tested=True),
            evidence.secondary("the same minus that on shuffled targets", beyond_shuffled, tested=True),
            evidence.secondary("drift minus that of LoRA, at equal loss", at_equal_loss, *arms, tested=True),
        ),
    )
