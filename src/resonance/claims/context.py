"""C3: does a reader learn in its context?

What is carried into pass n must be worth something against an empty memory, and more than what was carried from an
unrelated text of the same length: any text warms a state up. That nothing is learned in weights that are frozen is true
by construction and decides nothing.
"""

from __future__ import annotations

from itertools import chain

from resonance.claims.claim import SAME, Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import START, Evidence, Missing, Unidentifiable, Values, marks, paired
from resonance.claims.verdict import Ruling
from resonance.params import Nothing

CLAIM = Claim(
    id="C3",
    name="context",
    title="A recurrent network learns in its context, not in its weights",
    endpoint="Δ2 = loss in pass 2 with what pass 1 left − loss with an empty memory, minus the same after an unrelated "
    "text, mean of the four directions; and a further fall to pass 10 (below −0.02)",
    unit="nat/token",
    contrast="memory of the pair against an empty one, and against a memory of an unrelated text",
    sesoi=-0.1,
    direction="below",
    roles={"learner": Role("reader"), "foreign": Role("reader-foreign", "control")},
    control="it recalls within one prompt: untouched, it loses at least 0.1 nat/token on 1>1 and 2>2 by a blank input",
    traps=(
        "'Not in its weights' is true by construction where they are frozen.",
        "What any text of that length is worth must be subtracted.",
        "Contraction of a state that is linear given the tokens is algebra, and no finding.",
    ),
    would_change="an unrelated text that is worth as much, or no gain beyond the first pass",
    figure="reader",
)
FURTHER = -0.02
GAIN = "reader.pass_gain"


def judge(evidence: Evidence) -> Ruling:
    """Pass 2 and pass 10 (the last mark before it), each against the foreign memory."""
    if not isinstance(evidence.learner("learner").train, Nothing):
        raise Unidentifiable("Weights change as well, so a gain does not say where it is kept: set `train: nothing`.")

    def gain(passes: int) -> Values:
        """Of what was carried after `passes` passes, or at the last mark before."""
        arms = []
        for role in ("learner", "foreign"):
            grid = evidence.series(role, GAIN)
            before = [cycle for cycle in marks(grid) if 0 < cycle <= passes]
            if not before or before[-1] <= passes / 2:
                raise Missing(f"{evidence.name(role)} has no mark between {passes // 2 + 1} and {passes} passes.")
            arms.append(evidence.by_unit(grid[before[-1]]))
        return paired(*arms)

    second = gain(1)

    def blank() -> Values:
        return evidence.value("learner", "probes.input_effect", START, directions=SAME, conditions=("input:blank",))

    return Ruling(
        criteria=(
            Criterion.below(CLAIM.sesoi, second, "gain in pass 2 beyond an unrelated text", CLAIM.unit),
            Criterion.below(FURTHER, gain(9) - second, "further gain up to pass 10", CLAIM.unit),
        ),
        control=evidence.control(CLAIM.control, blank, 0.1),
        secondary=chain(
            evidence.secondary("gain in pass 50 beyond an unrelated text (nat/token)", gain, 49, tested=True),
            evidence.secondary("gain at the end, nothing subtracted", evidence.value, "learner", GAIN, tested=True),
        ),
    )
