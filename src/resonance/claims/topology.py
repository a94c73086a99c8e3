"""C10: is the space rotated, and its shape kept?

Two tests in one. Geometry: the rotation that the tokens of the pair teach must explain half of the drift of *held-out*
tokens (in-sample it "explains" 21 % of pure noise), more than of isotropic noise, and more than of the way to another
seed's network, which never was this one. Function: the states of cycle 0, rotated and put into the later layers, must
do 80 % of what the best affine map does, and more than a rotation from permuted tokens. On the pair alone the states of
another seed would pass that; on probes they restore a third of what a planted rotation does, so half is asked there.
Neighbourhoods and persistent homology do not change under a rotation, so there is no "after removing it": they only
describe.
"""

from __future__ import annotations

from itertools import chain

from resonance.claims.claim import Claim, Role
from resonance.claims.effect import Criterion
from resonance.claims.evidence import END, Evidence, Moment, Unidentifiable, Values
from resonance.claims.other_seed import beyond
from resonance.claims.verdict import Ruling

CLAIM = Claim(
    id="C10",
    name="topology",
    title="It learns the topology of the space, not the coordinates: the space is rotated, the vectors stay",
    endpoint="share of the squared drift of held-out tokens that one rotation explains, at the end, mean of the layers "
    "above the embedding; the share of the affine stitch that the rotation recovers (above 0.8); and on probes the "
    "share of all that is lost without a map (above 0.5)",
    unit="share of the squared drift",
    contrast="against isotropic noise of the same norm; against another seed's network; against a rotation from "
    "permuted tokens",
    sesoi=0.5,
    direction="above",
    roles={"learner": Role("gpt")},
    control="stitching works: with the affine map predictions diverge half as far from the learner's own as without"
    " one, or less",
    traps=(
        "In the sample a rotation explains a fifth of pure noise: the judges are types that it was not fitted on.",
        "Where nothing has moved there is nothing to split.",
        "A rotation also brings networks together that never were one: they have read the same tokens.",
        "What does not change under a rotation cannot be looked at after removing it.",
    ),
    would_change="a rest that is larger than the rotation, or later layers that cannot use the rotated states",
    figure="drift",
)
LEAST_DRIFT = 0.05


def judge(evidence: Evidence) -> Ruling:
    """Held-out share, above its nulls, and the stitch."""

    def drifted(name: str, at: Moment = END) -> Values:
        return evidence.value("learner", f"similarity.{name}", at, from_layer=1)

    def stitch(name: str, on: str = "pair") -> Values:
        return evidence.value("learner", f"stitching.{name}", END, conditions=(on,))

    if (drift := drifted("drift").mean()) < LEAST_DRIFT:
        raise Unidentifiable(f"The states moved by {drift:.3f} of their norm: there is nothing to split.")
    share = drifted("rotation_share")
    return Ruling(
        criteria=(
            Criterion.above(CLAIM.sesoi, share, "rotation in the drift of held-out tokens", "of its square"),
            Criterion.above(0.0, share - drifted("rotation_share_null"), "the same beyond noise", "of its square"),
            *beyond(evidence, share),
            Criterion.above(0.8, stitch("stitch_recovery"), "of the affine stitch, recovered by the rotation", "of it"),
            Criterion.above(0.5, stitch("divergence_restored", "probe"), "of what no map loses, on probes", "of it"),
            Criterion.above(
                0.0,
                stitch("divergence_rotation_null") - stitch("divergence_rotation"),
                "gain over permuted tokens",
                "nat/token",
            ),
        ),
        control=evidence.control(
            CLAIM.control,
            lambda: 1 - stitch("divergence_affine") / stitch("divergence_none"),
            0.5,
        ),
        secondary=chain(
            evidence.over_time("rotation in the drift of held-out tokens", lambda at: drifted("rotation_share", at)),
            evidence.secondary("drift of held-out tokens (of the norm at cycle 0)", lambda: drifted("drift")),
        ),
    )
