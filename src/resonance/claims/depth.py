"""C11: does learning come from the depth of the interweaving, or from data?

Two doses at equal updates. Interweaving: blocks of one direction, 1 to 256 cycles long, the same counts in the end.
Data: 1 to 64 versions of the pair. The outcome is what an unseen paraphrase costs, never the training loss. Per seed
one slope on log2 dose each: shorter blocks must help by the smallest effect of interest, and by more than versions do.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import pandas as pd

from resonance.claims.claim import CROSS, Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, START, Evidence, Moment, Unidentifiable, Values, paired
from resonance.claims.statistics import slope
from resonance.claims.verdict import Ruling
from resonance.params import Blocked

BLOCKS = {f"block-{dose}": dose for dose in (1, 4, 16, 64, 256)}
VERSIONS = {f"versions-{dose}": dose for dose in (1, 4, 16, 64)}
CLAIM = Claim(
    id="C11",
    name="depth",
    title="Learning comes from the depth of the interweaving, not from data",
    endpoint="bits per byte of the paraphrase of the target, at the end: rise per doubling of the block length; and "
    "that rise minus the fall per doubling of the versions (above 0)",
    unit="bit/byte per doubling",
    contrast="block lengths 1 to 256 at equal counts; 1 to 64 versions at equal updates",
    sesoi=0.02,
    direction="above",
    roles={"learner": Role("gpt")}
    | {name: Role(name, schedule=True) for name in BLOCKS}
    | {name: Role(name) for name in VERSIONS},
    control="the outcome can move: with blocks of 1 it is at least 0.05 bit/byte away from cycle 0",
    traps=(
        "Counts are equal only where the run is a multiple of four of the longest blocks.",
        "One-direction runs see one target four times as often: they are no arm of this test.",
        "The training loss falls with any interweaving.",
    ),
    would_change="more versions that help as much as shorter blocks do, or block lengths that make no difference",
    figure="depth",
)


def judge(evidence: Evidence) -> Ruling:
    """Both slopes; the same for anchors that are followed and for matched links beside it."""
    orders = [evidence.study.schedules[evidence.place(name)[1]] for name in BLOCKS]
    longest = max(order.length if isinstance(order, Blocked) else 1 for order in orders)
    if (cycles := evidence.study.cycles) % (4 * longest):
        raise Unidentifiable(f"{cycles} cycles are no multiple of 4 x {longest}: directions come unequally often.")

    def cost(role: str, at: Moment = END) -> Values:
        return evidence.value(role, "probes.bits_per_byte", at, conditions=("target:paraphrase",))

    def followed(role: str) -> Values:
        return evidence.value(role, "anchors.follow_share", directions=CROSS)

    def matched(role: str) -> Values:
        return evidence.value(role, "matching.mrr_likelihood", directions=CROSS)

    def slopes(doses: dict[str, int], outcome: Callable[[str], Values]) -> Values:
        table = pd.concat({dose: outcome(role) for role, dose in doses.items()}, axis=1, join="inner")
        return pd.Series([slope([*doses.values()], row) for row in table.to_numpy()], table.index, float)

    blocks, versions = slopes(BLOCKS, cost), slopes(VERSIONS, cost)
    return Ruling(
        criteria=(
            Criterion.above(CLAIM.sesoi, blocks, "cost of longer blocks", CLAIM.unit),
            Criterion.above(0.0, paired(blocks, -versions), "that cost beyond the use of more versions", CLAIM.unit),
        ),
        control=evidence.control(CLAIM.control, lambda: (cost("block-1") - cost("block-1", START)).abs(), 0.05),
        secondary=chain(
            evidence.secondary("bits per byte, per doubling of the versions", slopes, VERSIONS, cost, tested=True),
            evidence.secondary("anchors followed, per doubling of the blocks", slopes, BLOCKS, followed, tested=True),
            evidence.secondary("anchors followed, per doubling of versions", slopes, VERSIONS, followed, tested=True),
            evidence.secondary("links matched, per doubling of the blocks", slopes, BLOCKS, matched, tested=True),
            evidence.secondary("links matched, per doubling of versions", slopes, VERSIONS, matched, tested=True),
        ),
    )
