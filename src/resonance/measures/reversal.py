"""What was learned as input > target, asked the other way round; for runs that were shown one of the two ways only.

A run has been shown the directions that stand in its cycle log. Of others this family holds no row.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from resonance.measures.bits import bits_per_byte
from resonance.measures.places import places
from resonance.measures.probes import effects, probe_size
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

OTHER = "target:unrelated"
"""What a text costs that was shown in no role."""
SOURCE = "cycle log and evaluations, directions that the log does not hold while it holds their reverse"
MEASURES: dict[str, Definition] = {
    "reversal_gap": {
        "unit": "nat/token",
        "formula": "mean over target offsets >= kept of nll(changed input) - nll(clean input), same tokens, minus the "
        "same at cycle 0; condition: the change",
        "source": SOURCE,
    },
    "reversal_gain": {
        "unit": "nat/token",
        "formula": "mean nll of the target at cycle 0 - now, behind the clean input",
        "source": SOURCE,
    },
    "reversal_text_gain": {
        "unit": "bit/byte",
        "formula": f"(bits per byte of the target at cycle 0 - now) - the same of {OTHER} in that direction",
        "source": SOURCE,
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per mark and direction that was never shown; none where the untouched learner was not asked."""
    directions = never_shown(run.log)
    if not directions or run.evaluations.empty:
        return
    yield from since_start(_asked(effects(run), directions), "reversal_gap", "effect", sign=1)
    clean = _asked(run.asked("clean"), directions)
    yield from since_start(clean, "reversal_gain", "nll", sign=-1)
    yield from _text_gains(run, clean, _asked(run.asked(OTHER), directions))


def never_shown(log: pd.DataFrame) -> list[str]:
    """Directions that the log lacks though it has their reverse: `2>1` where 1>2 was shown alone."""
    shown = set(log["direction"].astype(str)) if len(log) else set()
    return [way for way in ("1>2", "2>1") if way not in shown and way[::-1] in shown]


def since_start(rows: pd.DataFrame, measure: str, column: str, sign: int) -> Iterator[Row]:
    """Means of a column minus those at cycle 0, or the other way round, place by place."""
    start: dict[tuple[str, str], float] = {}
    for place, own in places(rows):
        value = float(own[column].mean())
        key = (place.direction, place.condition)
        if place.cycle == 0:
            start[key] = value
        if key in start:
            yield place.row(measure, sign * (value - start[key]))


def _text_gains(run: RunData, clean: pd.DataFrame, other: pd.DataFrame) -> Iterator[Row]:
    """What of the gain is about this text: what an unrelated one gained in the same cycles is taken away."""
    sizes = run.metadata["bytes"]
    target = {
        (place.cycle, place.direction): bits_per_byte(own, sizes[place.direction[-1]]) for place, own in places(clean)
    }
    unrelated = {
        (place.cycle, place.direction): bits_per_byte(own, probe_size(OTHER, place.direction, sizes))
        for place, own in places(other)
    }
    for (cycle, direction), bits in target.items():
        start = (0, direction)
        if start in target and start in unrelated and (cycle, direction) in unrelated:
            gain = target[start] - bits - (unrelated[start] - unrelated[cycle, direction])
            yield Row(cycle, "reversal_text_gain", gain, direction=direction, condition="clean")


def _asked(rows: pd.DataFrame, directions: list[str]) -> pd.DataFrame:
    return rows[rows["direction"].astype(str).isin(directions)] if len(rows) else rows
