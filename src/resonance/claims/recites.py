"""C1a: does it recite what it stores, whatever it is given?

At isolated input tokens that were exchanged for others, the answers on 1>1 and 2>2 are the stored token, the one that
stands in the input now, or neither. A blank input (its first tokens stay, so that it is known which text it is) must
cost nearly nothing as well: with the store share alone, a network that copies all but rare tokens would pass. But a
blank input is also unlike all that was ever read, and may cost by surprise: alone it takes support away and refutes
nothing.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from resonance.claims.claim import SAME, Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, Evidence, Moment, Unidentifiable, Values
from resonance.claims.verdict import Ruling

CLAIM = Claim(
    id="C1a",
    name="recites",
    title="An ordinary language model trained this way overfits: it recites the target",
    endpoint="share of edited tokens that are answered with the stored one, at the end, mean of 1>1 and 2>2; and what "
    "a blank input adds to the loss (below 0.05 nat/token, mean of the four directions)",
    unit="share",
    contrast="the stored token against the edited one in the input; a blank input against the true one",
    sesoi=0.9,
    direction="above",
    roles={"learner": Role("gpt"), "shuffled": Role("gpt-shuffled", "control")},
    control="it knows the clean targets: at least 99 % of their tokens",
    traps=(
        "Blank inputs keep their first 16 tokens: which text it is, even a reciter must see.",
        "Offsets below 16 do not count, and no edit stands there.",
        "If shuffled words are recited as well and as fast, recital says nothing of meaning.",
    ),
    would_change="a tenth of the edited tokens, or more, followed or answered with something third; or a blank input "
    "that costs more than 0.05 nat/token",
    figure="probes",
    primary=True,
)
COST = 0.05


def judge(evidence: Evidence) -> Ruling:
    """Both criteria at the end; the same contrast at t50, t99 and 10 · t99 beside it."""
    settings = evidence.study.evaluation
    if settings.edits < 30 or settings.kept < 16:
        raise Unidentifiable("Fewer than 30 edited tokens, or fewer than 16 kept ones, tell nothing: see `evaluation`.")

    def stored(at: Moment) -> Values:
        return evidence.value("learner", "probes.store_share", at, directions=SAME, conditions=("input:edited",))

    def blank(at: Moment) -> Values:
        return evidence.value("learner", "probes.input_effect", at, conditions=("input:blank",))

    def edited() -> Values:
        return evidence.value("learner", "probes.input_effect", conditions=("input:edited",))

    def known(role: str = "learner") -> Values:
        return evidence.value(role, "memorisation.token_accuracy", conditions=("clean",))

    return Ruling(
        criteria=(
            Criterion.above(CLAIM.sesoi, stored(END), "stored token at edited places", "of the edits"),
            replace(Criterion.below(COST, blank(END), "what a blank input adds", "nat/token"), refutes=False),
        ),
        control=evidence.control(CLAIM.control, known, 0.99),
        secondary=chain(
            evidence.over_time("stored token at edited places", stored),
            evidence.over_time("what a blank input adds (nat/token)", blank, tested=True),
            evidence.secondary("what an edited input adds (nat/token)", edited, tested=True),
            evidence.sooner("t99 against that with shuffled words as meta-analysis", "learner", "shuffled"),
            evidence.secondary("correct tokens where the meta-analysis is shuffled", known, "shuffled"),
        ),
    )
