"""C5: does self-distillation calibrate gradually?

On probes, never on what is memorised: there everything is certain and right, and calibration is free. "Gradually" is a
slope: how the Brier score moves per doubling of the cycles, with a teacher against without one. Where no marker tells
the direction, the right answer to the first differing token is known exactly, and |p̂ − p| is shown beside it.
"""

from __future__ import annotations

from itertools import chain

from resonance.claims.claim import Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, Evidence, Unidentifiable, Values, Where, paired
from resonance.claims.matched import at_equal_loss
from resonance.claims.posterior import distance
from resonance.claims.trend import per_doubling
from resonance.claims.verdict import Ruling

CLAIM = Claim(
    id="C5",
    name="calibration",
    title="Self-distillation calibrates gradually",
    endpoint="Brier score of the greedy token on the probes paraphrase and unrelated: slope per doubling of the cycles",
    unit="Brier score per doubling",
    contrast="with a teacher minus without one, the same seed",
    sesoi=-0.005,
    direction="below",
    roles={
        "learner": Role("ema"),
        "control": Role("gpt", "control"),
        "smoothing": Role("smoothing", "control"),
        "averaging": Role("averaging", "control"),
        "posterior": Role("ema-none", "control"),
    },
    control="there is something to repair: one temperature makes the learner without a teacher cheaper on the probes "
    "by at least 0.05 bit/byte at the end",
    traps=(
        "Memorised tokens give a Brier score of 0 for free.",
        "A perfectly calibrated model shows an ECE of 0.05 with 600 tokens in 15 bins: ECE decides nothing here.",
        "Label smoothing, averaged weights or one temperature may do the same without a teacher.",
    ),
    would_change="the same slope without a teacher, or with label smoothing in its place",
    figure="reliability",
    primary=True,
)
PROBES: Where = {"conditions": ("target:paraphrase", "target:unrelated")}
BEHIND_ARTICLE: Where = {"directions": ("1>2",), "conditions": PROBES["conditions"]}
MAY_DIFFER = {"objective", "optimizer", "schedules", "seeds"}
BRIER = "confidence.brier"


def judge(evidence: Evidence) -> Ruling:
    """The difference of slopes; against smoothing and averaging, and at equal loss, beside it."""
    ours, theirs = (evidence.learner(role).model_dump() for role in ("learner", "control"))
    if others := sorted(key for key in ours if ours[key] != theirs[key] and key not in MAY_DIFFER):
        raise Unidentifiable(f"The two learners differ in {', '.join(others)} too, not only in having a teacher.")

    def against(role: str, measure: str = BRIER) -> Values:
        return paired(*(per_doubling(evidence, each, measure, PROBES) for each in ("learner", role)))

    def repaired() -> Values:
        bits = ("probes.bits_per_byte", "tempered.bits_per_byte_tempered")
        return paired(*(evidence.value("control", measure, END, **BEHIND_ARTICLE) for measure in bits))

    text = "slope of the Brier score on probes, with a teacher minus without"
    equal = (evidence, "learner", "control", BRIER, PROBES)
    return Ruling(
        criteria=(Criterion.below(CLAIM.sesoi, against("control"), text, CLAIM.unit),),
        control=evidence.control(CLAIM.control, repaired, 0.05),
        secondary=chain(
            evidence.secondary(
                "Brier score, with a teacher minus without, at equal loss", at_equal_loss, *equal, tested=True
            ),
            evidence.secondary("slope of the loss on probes", against, "control", "probes.nll", tested=True),
            evidence.secondary("slope of the Brier score, minus label smoothing", against, "smoothing", tested=True),
            evidence.secondary("slope of the Brier score, minus averaged weights", against, "averaging", tested=True),
            evidence.secondary("|p̂ − p| at the first differing token, no marker", distance, evidence, END),
        ),
    )
