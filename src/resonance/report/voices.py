"""What each network says now, beside what it should say."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from resonance.params import DIRECTIONS
from resonance.report.agreement import Agreement, agreement


@dataclass(frozen=True)
class Voice:
    """What a learner says in one direction, left alone after `prefix` tokens of the target.

    mistaken: share of the other text's words that agree, where that is more than of its own target's; else 0.
    """

    direction: str
    prefix: int
    agreement: Agreement
    mistaken: float = 0.0


@dataclass(frozen=True)
class Speaker:
    """All that is shown of one learner: its last mark, first seed, first window, shortest prefix."""

    learner: str
    cycle: int
    seed: int
    voices: list[Voice]

    @property
    def share(self) -> float:
        """Mean share of words that agree."""
        return sum(voice.agreement.share for voice in self.voices) / len(self.voices)


def speakers(generations: pd.DataFrame, learners: Sequence[str]) -> list[Speaker]:
    """The learners that have said something, in the order given.

    Args:
        generations: of one pair and schedule, with the columns learner, seed, cycle, direction, window, prefix, output,
            reference, steps; what was written in a given number of steps is not the learner's own way, and not shown.
    """
    found = []
    generations = generations[generations["steps"].isna()]
    for name in learners:
        rows = generations[generations["learner"] == name]
        for column, pick in (("seed", "min"), ("cycle", "max"), ("window", "min"), ("prefix", "min")):
            rows = rows[rows[column] == rows[column].agg(pick)]
        said = {str(row["direction"]): row for row in rows.to_dict("records")}
        texts = {direction[-1]: row["reference"] for direction, row in said.items()}
        voices = [_voice(direction, said[direction], texts) for direction in DIRECTIONS if direction in said]
        if voices:
            found.append(Speaker(name, int(rows["cycle"].iloc[0]), int(rows["seed"].iloc[0]), voices))
    return found


def _voice(direction: str, row: dict[Hashable, Any], texts: dict[str, str]) -> Voice:
    """One direction. `texts` holds the reference of each target, so that a mix-up of the two texts is noticed."""
    own = agreement(row["output"], row["reference"])
    others = [agreement(row["output"], text).share for target, text in texts.items() if target != direction[-1]]
    mistaken = max([share for share in others if share > own.share], default=0.0)
    return Voice(direction, int(row["prefix"]), own, mistaken)
