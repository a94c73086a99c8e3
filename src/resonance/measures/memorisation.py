"""How much of each target is recited word for word."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, exp, expm1, log, log1p, log10

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics import CHRF

from resonance.measures.places import places
from resonance.measures.run import RunData
from resonance.measures.table import Definition, Row

CERTAINTY = 0.5
"""Probability of at least one full recital among the samples of `discoverable_n_<k>`."""

SPOKEN = "generations: greedy output from an empty prefix, and as many tokens of the target, as characters"
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
    "discoverable_n_<k>": {
        "unit": "log10 of samples",
        "formula": "log10 ceil(log(1 - p) / log(1 - p_z)), p = 0.5, log p_z = -sum of nll from target token <k> on, "
        "end mark included; mean over windows",
        "source": "evaluations; (n, p)-discoverability of Hayes et al. 2024, arXiv 2410.19482",
    },
    "longest_span": {
        "unit": "characters",
        "formula": "longest piece of the target that stands word for word in the output, mean over windows",
        "source": SPOKEN,
    },
    "edit_distance": {
        "unit": "share",
        "formula": "Levenshtein distance of output and target / length of the longer, mean over windows",
        "source": SPOKEN,
    },
    "chrf": {
        "unit": "1",
        "formula": "chrF2 / 100 of output against target (character n-grams up to 6, beta 2), mean over windows",
        "source": SPOKEN + "; Popović 2015",
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, direction and condition: the clean input, and inputs that were changed (the target never is)."""
    for place, rows in places(run.asked("clean", "input:")):
        yield place.row("token_accuracy", rows["correct"].mean())
        windows = [own.sort_values("position") for _, own in rows.groupby("window")]
        for prefix in run.metadata["prefixes"]:
            longer = [own for own in windows if len(own) > prefix]
            for name, value in recited(longer, prefix).items():
                yield place.row(name, value)
    yield from spoken(run)


def recited(windows: list[pd.DataFrame], prefix: int) -> dict[str, float]:
    """What is known of the target behind its first `prefix` tokens: means over windows, whose tokens are in order."""
    if not windows:
        return {}
    length = np.array([exact_length(own["correct"].to_numpy(bool), prefix) for own in windows])
    whole = np.array([len(own) - prefix for own in windows])
    samples = [log10_samples(-float(own["nll"][prefix:].sum())) for own in windows]
    return {
        f"exact_length_{prefix}": float(length.mean()),
        f"exact_continuation_{prefix}": float((length / whole).mean()),
        f"extractable_{prefix}": float((length == whole).mean()),
        f"discoverable_n_{prefix}": float(np.mean(samples)),
    }


def exact_length(correct: NDArray[np.bool_], prefix: int) -> int:
    """How many tokens greedy continuation of the first `prefix` tokens gives before its first error.

    Args:
        correct: per target token in order, whether it is the teacher-forced argmax. Up to the first error greedy
            output is the target, so its next token is that argmax: the leading hits from `prefix` on are the length.
    """
    rest = correct[prefix:]
    return len(rest) if rest.all() else int(rest.argmin())


def log10_samples(log_p: float, certainty: float = CERTAINTY) -> float:
    """log10 of the least n with 1 - (1 - p_z)^n >= certainty, for a text that is sampled with probability p_z.

    Args:
        log_p: log p_z (nat), which may be far below what a float64 can hold as a probability.
    """
    if log_p >= log(certainty):
        return 0.0
    once = log(-expm1(log_p)) if log_p > -log(2) else log1p(-exp(log_p))
    n = log1p(-certainty) / once if once else float("inf")
    # Beyond 2^53 a float64 knows no fractions that could be rounded up, and log(1 - p_z) is -p_z.
    if n > 2**53:
        return log10(-log1p(-certainty)) - log_p / log(10)
    # Rounding must not make one sample more of a whole number.
    return log10(ceil(n * (1 - 1e-12)))


def spoken(run: RunData) -> Iterator[Row]:
    """Rows per cycle and direction: the text that the learner writes in its own way, beside the target."""
    if run.generations.empty:
        return
    own = run.generations[run.generations["steps"].isna() & (run.generations["prefix"] == 0)]
    chrf = CHRF(char_order=6, word_order=0, beta=2)
    for place, rows in places(own.assign(condition="clean")):
        texts = list(zip(rows["output"], rows["reference"], strict=True))
        yield place.row("longest_span", float(np.mean([longest_span(*both) for both in texts])))
        yield place.row("edit_distance", float(np.mean([Levenshtein.normalized_distance(*both) for both in texts])))
        yield place.row("chrf", float(np.mean([chrf.sentence_score(a, [b]).score for a, b in texts])) / 100)


def longest_span(output: str, reference: str) -> int:
    """Characters of the longest piece that stands in both: the greatest of all lengths of common endings.

    The common ending of output[:i] and reference[:j] is one longer than that of both without their last characters
    where these are the same, else 0; all j at once, i one after the other.
    """
    letters, text = (np.array([ord(letter) for letter in each], np.int64) for each in (output, reference))
    ending, longest = np.zeros(len(text) + 1, np.int64), 0
    for letter in letters:
        ending[1:] = np.where(text == letter, ending[:-1] + 1, 0)
        longest = max(longest, int(ending.max()))
    return longest
