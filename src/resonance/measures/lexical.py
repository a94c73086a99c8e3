"""How alike pieces of text are by the tokens that they share, whatever they mean: the baselines of correspondence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from resonance.measures.vectors import Floats

K1 = 1.5
B = 0.75


def bm25(queries: Sequence[Sequence[int]], documents: Sequence[Sequence[int]]) -> Floats:
    """BM25 scores [queries, documents] of token ids (Robertson and Zaragoza 2009).

    The score of document d is the sum over the tokens t of the query, each as often as it occurs, of

        log(1 + (N − n_t + ½) / (n_t + ½)) · f (k₁ + 1) / (f + k₁ (1 − b + b |d| / mean |d|))

    with N documents, n_t of them with t, and f occurrences of t in d; k₁ = 1.5, b = 0.75. The 1 in the logarithm keeps
    tokens that stand in most documents from counting against them.
    """
    counts = [Counter(document) for document in documents]
    length = np.array([len(document) for document in documents], float)
    slowed = K1 * (1 - B + B * length / length.mean())
    scores = np.zeros((len(queries), len(documents)))
    for row, query in zip(scores, queries, strict=True):
        for token in query:
            f = np.array([count[token] for count in counts], float)
            n = np.count_nonzero(f)
            row += np.log(1 + (len(documents) - n + 0.5) / (n + 0.5)) * f * (K1 + 1) / (f + slowed)
    return scores


def jaccard(pieces: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> Floats:
    """Types that two pieces share over types that stand in either [pieces, others]."""
    sets, other_sets = [set(piece) for piece in pieces], [set(piece) for piece in others]
    return np.array([[len(a & b) / len(a | b) for b in other_sets] for a in sets])
