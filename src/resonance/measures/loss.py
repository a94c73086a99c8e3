"""How well each direction's target is known: loss at the marks, and while training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from resonance.measures.bins import thinned
from resonance.measures.bits import bits_per_byte
from resonance.measures.places import places
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

MEASURES: dict[str, Definition] = {
    "nll": {
        "unit": "nat/token",
        "formula": "mean of -log p(token | input, earlier tokens) over target and end mark, teacher-forced",
        "source": "evaluations, condition clean",
    },
    "bits_per_byte": {
        "unit": "bit/byte",
        "formula": "sum of nll over the target without end mark / (ln 2 x UTF-8 bytes of the text)",
        "source": "evaluations, condition clean",
    },
    "nll_first_difference": {
        "unit": "nat",
        "formula": "-log p of the first target token in which the two targets of one input differ (window 0)",
        "source": "evaluations, condition clean; without a marker of direction ln 2 at best, averaged over both",
    },
    "target_tokens": {
        "unit": "tokens",
        "formula": "target tokens over which the loss is a mean, end mark included (window 0), where targets part",
        "source": "evaluations, condition clean",
    },
    "loss_online": {
        "unit": "nat/token",
        "formula": "mean loss before the update in a bin of cycles (each up to 64, then 32 bins per doubling); "
        "low, high: least and greatest",
        "source": "cycle log",
    },
    "accuracy_online": {
        "unit": "share",
        "formula": "target tokens that were the most likely one before the update, in the bins of loss_online; "
        "low, high: least and greatest",
        "source": "cycle log",
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per direction: `nll` and `bits_per_byte` at every mark, the rest per bin of cycles."""
    for place, rows in places(run.asked("clean")):
        yield place.row("nll", rows["nll"].mean())
        yield place.row("bits_per_byte", bits_per_byte(rows, run.metadata["bytes"][place.direction[-1]]))
    for cycle, rows in run.asked("clean").groupby("cycle") if len(run.evaluations) else ():
        for direction, (value, tokens) in first_differences(rows).items():
            yield Row(int(str(cycle)), "nll_first_difference", value, direction=direction)
            yield Row(int(str(cycle)), "target_tokens", tokens, direction=direction)
    for line in thinned(run.log, "loss"):
        yield Row(line.cycle, "loss_online", line.mean, line.low, line.high, direction=line.direction)
    for line in thinned(run.log, "accuracy"):
        yield Row(line.cycle, "accuracy_online", line.mean, line.low, line.high, direction=line.direction)


def first_differences(rows: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """By direction, where the targets behind one input part: −log p there, and the tokens of the whole target.

    Up to there both are one text to a network without a marker.
    """
    first = rows[rows["window"] == rows["window"].min()]
    targets = {str(name): own.sort_values("position") for name, own in first.groupby("direction", observed=True)}
    found: dict[str, tuple[float, int]] = {}
    for source, other in (("1>1", "1>2"), ("2>2", "2>1")):
        if source in targets and other in targets:
            same, cross = (targets[name]["token"].to_numpy() for name in (source, other))
            shared = min(len(same), len(cross))
            apart = np.flatnonzero(same[:shared] != cross[:shared])
            if len(apart):
                for name in (source, other):
                    found[name] = float(targets[name]["nll"].iloc[apart[0]]), len(targets[name])
    return found
