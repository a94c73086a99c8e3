"""C4: does the critic know more than the network and the place already tell?

Nested: the area under the curve of a regression with the critic minus that of the same regression without it (place,
cycle, entropy, largest probability), fitted at early marks, scored at later ones and on a kind of corruption that it
has not seen. Both must gain.
"""

from __future__ import annotations

from resonance.claims.claim import Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import Evidence, Missing, Unidentifiable, Values
from resonance.claims.verdict import Ruling

CLAIM = Claim(
    id="C4",
    name="critic",
    title="A critic comes to know how good the answer is",
    endpoint="gain in AUROC by the critic's estimate, at marks later than those it was fitted on, and on unseen kinds "
    "of corruption",
    unit="AUROC",
    contrast="with the critic against without it, place and confidence known to both",
    sesoi=0.03,
    direction="above",
    roles={"learner": Role("critic")},
    control="errors can be told at all: AUROC of at least 0.6 without the critic",
    traps=(
        "Errors sit at fixed places: whoever knows the places looks like a critic.",
        "With fewer than 100 errors, or a rate outside 5 to 95 %, an area says nothing.",
        "Where nearly all errors are told without it, there is no room for a gain.",
    ),
    would_change="a table of places, or the entropy, that tells errors as well as the critic does",
    figure="critic",
)


def judge(evidence: Evidence) -> Ruling:
    """Later marks and unseen corruption, both above the smallest gain of interest."""
    heads = evidence.learner("learner").heads
    if not heads:
        raise Missing(f"The learner {evidence.name('learner')} has no head: give it `heads: [critic]`.")

    def measured(measure: str, what: str) -> Values:
        return evidence.value("learner", f"critics.{measure}", conditions=(f"{heads[0].tag}:{what}",))

    for what in ("later", "unseen"):
        if measured("errors", what).min() < 100:
            raise Missing(f"Fewer than 100 errors ({what}): look earlier, or at harder prompts.")
        if not measured("error_rate", what).between(0.05, 0.95).all():
            raise Missing(f"An error rate outside 5 to 95 % ({what}): look earlier, or at other prompts.")
    base = measured("auroc_base", "later")
    if base.mean() > 1 - CLAIM.sesoi:
        raise Unidentifiable(f"Without the critic AUROC is {base.mean():.3f}: there is no room for a gain of 0.03.")
    return Ruling(
        criteria=(
            Criterion.above(CLAIM.sesoi, measured("auroc_gain", "later"), "gain at later marks", CLAIM.unit),
            Criterion.above(CLAIM.sesoi, measured("auroc_gain", "unseen"), "gain on unseen corruption", CLAIM.unit),
        ),
        control=evidence.control(CLAIM.control, lambda: base, 0.6),
        secondary=evidence.secondary("AUROC without the critic, later marks", lambda: base),
    )
