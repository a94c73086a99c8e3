"""Is what a network has become its start, seen in other coordinates? Its later layers are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import nan

from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

LEAST = 0.05
"""Nats that the best affine map must regain before shares of them are spoken of."""

SOURCE = "interventions (stitching)"
MAPS = {
    "none": "as they are",
    "shift": "moved to the mean of those at c",
    "rotation": "turned by the best orthogonal map, with the means",
    "rotation_null": "turned by an orthogonal map that was taught by tokens in random order, with the means",
    "affine": "moved by the best affine map",
}
SHARES = {"": "rotation", "_null": "rotation_null", "_shift": "shift"}
"""Endings of the shares, and the map whose gain each compares with the affine one's."""

MEASURES: dict[str, Definition] = {
    "stitch_own": {
        "unit": "nat/token",
        "formula": "mean -log p of the target by the learner of cycle c itself",
        "source": SOURCE,
    },
    **{
        f"stitch_{name}": {
            "unit": "nat/token",
            "formula": f"the same from hidden states of cycle 0 behind layer l, {what}",
            "source": SOURCE,
        }
        for name, what in MAPS.items()
    },
    **{
        f"divergence_{name}": {
            "unit": "nat/token",
            "formula": f"mean KL(own || stitched) over the target, hidden states of cycle 0 {what}",
            "source": SOURCE,
        }
        for name, what in MAPS.items()
    },
    **{
        f"stitch_recovery{ending}": {
            "unit": "share",
            "formula": f"(none - {name}) / (none - affine) of stitch_..., each the mean over directions; null where "
            f"none - affine < {LEAST} nat, or none < own",
            "source": SOURCE,
        }
        for ending, name in SHARES.items()
    },
    **{
        f"divergence_recovery{ending}": {
            "unit": "share",
            "formula": f"(none - {name}) / (none - affine) of divergence_..., each the mean over directions; null "
            f"where none - affine < {LEAST} nat",
            "source": SOURCE,
        }
        for ending, name in SHARES.items()
    },
    "stitch_restored": {
        "unit": "share",
        "formula": "(none - rotation) / (none - own) of stitch_..., each the mean over directions; null where "
        f"none - own < {LEAST} nat",
        "source": SOURCE,
    },
    "divergence_restored": {
        "unit": "share",
        "formula": "1 - rotation / none of divergence_..., each the mean over directions; null where none < "
        f"{LEAST} nat",
        "source": SOURCE,
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, layer and condition (`pair` or `probe`), per direction too where they are no shares."""
    found = run.experiment("stitching")
    if found.empty:
        return
    words = found["quantity"].astype(str)
    parts = words.str.partition("_")
    found = found.astype({"layer": "int64"}).assign(condition=parts[0], name=parts[2])
    for key, rows in found.groupby(["cycle", "layer", "condition"], observed=True):
        cycle, layer, condition = int(str(key[0])), int(str(key[1])), str(key[2])
        # items first, so that every direction counts alike
        values = rows.groupby(["direction", "name"], observed=True)["value"].mean().unstack()
        for direction, row in values.iterrows():
            for name, value in row.items():
                yield Row(cycle, measure_of(str(name)), value, None, None, layer, str(direction), condition)
        means = {str(name): float(value) for name, value in values.mean().items()}
        for name, value in shares(means).items():
            yield Row(cycle, name, value, layer=layer, condition=condition)


def measure_of(name: str) -> str:
    """`rotation` → `stitch_rotation`, `rotation_divergence` → `divergence_rotation`."""
    plain = name.removesuffix("_divergence")
    return f"{'stitch' if plain == name else 'divergence'}_{plain}"


def shares(mean: Mapping[str, float]) -> dict[str, float]:
    """What of the affine map's gain, and of all that is lost, other maps regain; NaN where there is too little."""
    found = {}
    for kind, end, own in (("stitch", "", mean["own"]), ("divergence", "_divergence", 0.0)):
        none, rotation = mean["none" + end], mean["rotation" + end]
        lost, gain = none - own, none - mean["affine" + end]
        for ending, name in SHARES.items():
            share = (none - mean[name + end]) / gain if gain >= LEAST and lost >= 0 else nan
            found[f"{kind}_recovery{ending}"] = share
        found[f"{kind}_restored"] = (none - rotation) / lost if lost >= LEAST else nan
    return found
