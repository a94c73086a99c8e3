"""How far an output is from the original: per token, of what is still to come, and as a whole. Pure functions.

Shape suffixes: N tokens that were said, M tokens of the original.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import CHRF

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Deviation:
    """Of every token that was said.

    due_N: place in the original at which a least-edits alignment stands when the token is said; M: past its end.
    error_N: whether the token is another one than the original's at that place. None is wrong if and only if the
        output is the original or, cut short, its beginning.
    suffix_N: edit distance between what is said after the token and what of the original is then still to come, over
        the length of the longer of the two (0 where both are empty): in [0, 1].
    """

    due_N: Ids
    error_N: NDArray[np.bool_]
    suffix_N: NDArray[np.float64]

    def at_due(self, values_M: NDArray[np.float64]) -> NDArray[np.float64]:
        """For each token that was said, what belongs to the one that was due, say its -log p; NaN past the end."""
        return np.append(values_M, np.nan)[self.due_N]


def deviation(said_N: Ids, original_M: Ids) -> Deviation:
    """Align what was said with the original by as few insertions, deletions and replacements as possible.

    A token that is the original's next one is always taken for it, which never costs an edit. Of several least-edits
    alignments the one is taken that, from the first token on, rather replaces a token than skips one of the original,
    and rather skips one than takes a token for an insertion. An output that leaves something out is wrong at the token
    that follows, an output that adds something at each token that is too much.
    """
    distances = suffix_distances(said_N, original_M)
    n, m = len(said_N), len(original_M)
    due_N, suffix_N = np.zeros(n, np.int64), np.zeros(n)
    place = 0
    for index, token in enumerate(said_N):
        due_N[index] = place
        while True:
            least = distances[index, place]
            if place < m and least == distances[index + 1, place + 1] + (token != original_M[place]):
                place += 1
                break
            if place < m and least == distances[index, place + 1] + 1:
                place += 1
                continue
            break
        suffix_N[index] = distances[index + 1, place] / max(n - index - 1, m - place, 1)
    return Deviation(due_N, np.append(original_M, -1)[due_N] != said_N, suffix_N)


def suffix_distances(said_N: Ids, original_M: Ids) -> Ids:
    """Levenshtein distances [N + 1, M + 1] between `said_N[i:]` and `original_M[j:]`, for every i and j.

    Row by row from below: the least over replacements and insertions of row i + 1, then over deletions, which are
    d[i, j] = min over k >= j of (d[i, k] + k - j).
    """
    n, m = len(said_N), len(original_M)
    place = np.arange(m + 1)
    table = np.empty((n + 1, m + 1), np.int64)
    table[n] = m - place
    for index in reversed(range(n)):
        row = table[index + 1] + 1
        row[:-1] = np.minimum(row[:-1], table[index + 1, 1:] + (original_M != said_N[index]))
        table[index] = np.minimum.accumulate((row + place)[::-1])[::-1] - place
    return table


def text_deviation(said: str, original: str) -> float:
    """1 - chrF2 / 100 of a text against its original (Popović 2015; character n-grams up to 6, beta 2, no words)."""
    score: float = CHRF(char_order=6, word_order=0, beta=2).sentence_score(said, [original]).score
    return 1 - score / 100
