"""How much of each target is recited word for word."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from resonance.measures.places import places
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

MEASURES: dict[str, Definition] = {
    "token_accuracy": {
        "unit": "share",
        "formula": "share of target tokens (end mark included) that are the most likely one, teacher-forced",
        "source": "evaluations",
    },
    "exact_length_<k>": {
        "unit": "tokens",
        "formula": "target tokens that follow greedily from the first <k> before the first error, mean over windows",
        "source": "evaluations; greedy output is the teacher-forced argmax up to its first error",
    },
    "exact_continuation_<k>": {
        "unit": "share",
        "formula": "exact_length_<k> / (tokens of the target - <k>), mean over windows",
        "source": "evaluations",
    },
    "extractable_<k>": {
        "unit": "share",
        "formula": "share of windows whose whole rest follows from the first <k> tokens without an error",
        "source": "evaluations; k-extractability of Carlini et al. 2022, arXiv 2202.07646",
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, direction and condition: the clean input, and inputs that were changed (the target never is)."""
    for place, rows in places(run.asked("clean", "input:")):
        yield place.row("token_accuracy", rows["correct"].mean())
        windows = [own.sort_values("position")["correct"].to_numpy(bool) for _, own in rows.groupby("window")]
        for prefix in run.metadata["prefixes"]:
            known = [(exact_length(hits, prefix), len(hits) - prefix) for hits in windows if len(hits) > prefix]
            if known:
                length, whole = np.array(known).T
                yield place.row(f"exact_length_{prefix}", length.mean())
                yield place.row(f"exact_continuation_{prefix}", (length / whole).mean())
                yield place.row(f"extractable_{prefix}", (length == whole).mean())


def exact_length(correct: NDArray[np.bool_], prefix: int) -> int:
    """How many tokens greedy continuation of the first `prefix` tokens gives before its first error.

    Args:
        correct: per target token in order, whether it is the teacher-forced argmax. Up to the first error greedy
            output is the target, so its next token is that argmax: the leading hits from `prefix` on are the length.
    """
    rest = correct[prefix:]
    return len(rest) if rest.all() else int(rest.argmin())
