"""What is known of texts that were never trained on, and what becomes of the targets when the input changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt

import pandas as pd

from resonance.measures.bits import bits_per_byte
from resonance.measures.places import places
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""
ROLE = {"1": "article", "2": "meta"}
TOKEN = ["cycle", "direction", "window", "position"]

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
    for place, rows in places(run.asked("target:")):
        size = probe_size(place.condition, place.direction, run.metadata["bytes"])
        yield place.row("nll", rows["nll"].mean())
        yield place.row("bits_per_byte", bits_per_byte(rows, size))
    for place, rows in places(effects(run)):
        yield place.row("input_effect", rows["effect"].mean())
    edited = run.asked("input:edited")
    for place, rows in places(edited[edited["alternative"] >= 0]) if len(edited) else ():
        follows, stored = rows["alternative_correct"].to_numpy(bool), rows["correct"].to_numpy(bool)
        for name, hits in (("follow", follows), ("store", stored), ("other", ~(follows | stored))):
            yield place.row(f"{name}_share", hits.mean(), *wilson(int(hits.sum()), len(hits)))


def probe_size(condition: str, direction: str, sizes: Mapping[str, int]) -> int:
    """UTF-8 bytes of the text that stands as target: `target:shuffled` of 1>2 is the text `shuffled-2`."""
    name, text = condition.removeprefix("target:"), direction[-1]
    for known in (name, f"{name}-{text}", f"{name}-{ROLE[text]}"):
        if known in sizes:
            return sizes[known]
    raise ValueError(f"{condition} of {direction}: its size in bytes is not known; known: {', '.join(sizes)}")


def effects(run: RunData) -> pd.DataFrame:
    """The tokens of changed inputs with `effect`: their nll above that of the same token behind the clean input.

    The first `kept` offsets are left out: there the changed input is the clean one, so that it still tells which of the
    two texts it is.
    """
    changed, clean = run.asked("input:"), run.asked("clean")
    if changed.empty or clean.empty:
        return pd.DataFrame()
    far = changed[changed["position"] >= run.metadata["kept"]]
    both: pd.DataFrame = far.merge(clean[[*TOKEN, "nll"]], on=TOKEN, suffixes=("", "_clean"), validate="many_to_one")
    both["effect"] = both["nll"] - both["nll_clean"]
    return both


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share: (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) (Wilson 1927)."""
    p, z2 = hits / n, Z95**2
    centre, spread = p + z2 / (2 * n), Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # Rounding must not put a bound beyond 0 or 1.
    return max(0.0, (centre - spread) / (1 + z2 / n)), min(1.0, (centre + spread) / (1 + z2 / n))
