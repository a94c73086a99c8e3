"""C7: does it translate?

A name or number that stands in both texts is swapped for another in the input. A translator says the new one where the
other text has it. The share of anchors for which the new word becomes the likelier one must exceed 0.1. The sham, the
same two words compared where neither belongs, is a toss-up for any network, so that a share of one half says nothing
there: against it the *change* is compared that the swap makes to the log odds (nat), which is 0 where nothing follows.
"""

from __future__ import annotations

from itertools import chain

from resonance.claims.claim import CROSS, Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, Evidence, Moment, Unidentifiable, Values
from resonance.claims.verdict import Ruling

CLAIM = Claim(
    id="C7",
    name="translation",
    title="It learns to translate T1→T2 and T2→T1",
    endpoint="share of swapped anchors that are followed in the other text, at the end, mean of 1>2 and 2>1; and the "
    "change of log odds by the swap, beyond that at an untouched place",
    unit="share",
    contrast="the swapped word against the original one; the anchor's place against an untouched one",
    sesoi=0.1,
    direction="above",
    roles={"learner": Role("gpt"), "versions": Role("versions", "control")},
    control="the same learner, trained on 64 versions of the pair with other names in both texts, follows 80 % or more",
    traps=(
        "On one fixed pair the target can be said without reading the input, so nothing asks for translation.",
        "An untrained network prefers the new word half of the time, here and at the untouched place.",
    ),
    would_change="more than a tenth of the swapped anchors followed, and more log odds there than elsewhere",
    figure="dose",
)


def judge(evidence: Evidence) -> Ruling:
    """Share and change of log odds; from scratch on one fixed pair, absence says nothing."""
    if (number := evidence.value("learner", "anchors.number", END, directions=CROSS).min()) < 20:
        raise Unidentifiable(f"{number:.0f} anchors occur in both texts and can be swapped; 20 are needed.")

    def followed(at: Moment, role: str = "learner") -> Values:
        return evidence.value(role, "anchors.follow_share", at, directions=CROSS)

    def moved(at: Moment) -> Values:
        own, sham = (
            evidence.value("learner", f"anchors.{name}", at, directions=CROSS) for name in ("follow", "follow_sham")
        )
        return own - sham

    criteria = (
        Criterion.above(CLAIM.sesoi, followed(END), "swapped anchors followed", "of the anchors"),
        Criterion.above(0.0, moved(END), "change of log odds beyond the untouched place", "nat"),
    )
    scratch = evidence.learner("learner").init == "random" and not all(each.holds for each in criteria)
    return Ruling(
        criteria=criteria,
        control=evidence.control(CLAIM.control, lambda: followed(END, "versions"), 0.8),
        barrier=scratch
        * "From scratch, on one fixed pair, reciting is all that the loss asks for: that it does not follow "
        "says nothing of what it could learn.",
        secondary=chain(
            evidence.over_time("swapped anchors followed", followed),
            evidence.over_time("change of log odds beyond the untouched place (nat)", moved, tested=True),
        ),
    )
