"""What is known of texts that were never trained on, and what becomes of the targets when the input changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt

import pandas as pd

from resonance.measures.bits import bits_per_byte
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""
ROLE = {"1": "article", "2": "meta"}
PLACE = ["cycle", "direction", "window", "position"]

SHARE = {"unit": "share", "source": "evaluations; interval: Wilson 1927, 95 %, tokens taken as independent"}
MEASURES: dict[str, Definition] = {
    "nll": {
        "unit": "nat/token",
        "formula": "mean of -log p(token | input, earlier tokens) over the probe and its end mark, teacher-forced",
        "source": "evaluations, condition target:<probe>",
    },
    "bits_per_byte": {
        "unit": "bit/byte",
        "formula": "sum of nll over the probe without end mark / (ln 2 x UTF-8 bytes of the probe)",
        "source": "evaluations, condition target:<probe>",
    },
    "input_effect": {
        "unit": "nat/token",
        "formula": "mean over target offsets >= kept of nll(changed input) - nll(clean input), same tokens",
        "source": "evaluations, condition input:<change>",
    },
    "follow_share": SHARE | {"formula": "edited offsets of 1>1 and 2>2 whose argmax is the token of the edited input"},
    "store_share": SHARE | {"formula": "edited offsets of 1>1 and 2>2 whose argmax is the token of the stored text"},
    "other_share": SHARE | {"formula": "edited offsets of 1>1 and 2>2 whose argmax is neither"},
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle and direction: probes as target, changed inputs, and who wins at edited tokens."""
    if run.evaluations.empty:
        return
    words = run.evaluations["condition"].astype(str)
    yield from probes(run.evaluations[words.str.startswith("target:")], run.metadata["bytes"])
    kept: int = run.metadata["kept"]
    yield from input_effects(
        run.evaluations[words == "clean"], run.evaluations[words.str.startswith("input:")], kept
    )
    yield from edits(run.evaluations[words == "input:edited"])


def probes(rows: pd.DataFrame, sizes: Mapping[str, int]) -> Iterator[Row]:
    """Loss on each probe as target, per token and per byte."""
    for (cycle, condition, direction), own in rows.groupby(["cycle", "condition", "direction"], observed=True):
        here = {"direction": str(direction), "condition": str(condition)}
        size = probe_size(str(condition), str(direction), sizes)
        yield Row(cycle, "nll", own["nll"].mean(), **here)
        yield Row(cycle, "bits_per_byte", bits_per_byte(own, size), **here)


def probe_size(condition: str, direction: str, sizes: Mapping[str, int]) -> int:
    """UTF-8 bytes of the text that stands as target: `target:shuffled` of 1>2 is the text `shuffled-2`."""
    name, text = condition.removeprefix("target:"), direction[-1]
    for known in (name, f"{name}-{text}", f"{name}-{ROLE[text]}"):
        if known in sizes:
            return sizes[known]
    raise ValueError(f"{condition} of {direction}: its size in bytes is not known; known: {', '.join(sizes)}")


def input_effects(clean: pd.DataFrame, changed: pd.DataFrame, kept: int) -> Iterator[Row]:
    """How many nats per token a changed input costs, beyond the first tokens, which tell which text the input is."""
    here = changed[changed["position"] >= kept]
    both = here.merge(clean[[*PLACE, "nll"]], on=PLACE, suffixes=("", "_clean"), validate="many_to_one")
    both["effect"] = both["nll"] - both["nll_clean"]
    for (cycle, condition, direction), rows in both.groupby(["cycle", "condition", "direction"], observed=True):
        yield Row(
            cycle, "input_effect", rows["effect"].mean(), direction=str(direction), condition=str(condition)
        )


def edits(rows: pd.DataFrame) -> Iterator[Row]:
    """At tokens that differ between input and stored text: which of the two is the answer?"""
    for (cycle, direction), own in rows[rows["alternative"] >= 0].groupby(["cycle", "direction"], observed=True):
        follows, stored = own["alternative_correct"].astype(bool), own["correct"].astype(bool)
        for name, hits in (("follow", follows), ("store", stored), ("other", ~(follows | stored))):
            low, high = wilson(int(hits.sum()), len(hits))
            yield Row(
                cycle,
                f"{name}_share",
                hits.mean(),
                low,
                high,
                direction=str(direction),
                condition="input:edited",
            )


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share: (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) (Wilson 1927)."""
    p, z2 = hits / n, Z95**2
    centre, spread = p + z2 / (2 * n), Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # Rounding must not put a bound beyond 0 or 1.
    return max(0.0, (centre - spread) / (1 + z2 / n)), min(1.0, (centre + spread) / (1 + z2 / n))
