"""How well the right piece is found among all by a table of scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from resonance.measures.vectors import Floats

Links = NDArray[np.bool_]
"""[A, B]: whether piece a of one side and piece b of the other belong together."""


def mrr(scores_AB: Floats, links_AB: Links) -> float:
    """Mean reciprocal rank of the best linked piece, over all pieces of both sides that have a link.

    Each piece of A asks among all of B, and each of B among all of A. The rank is 1 + the pieces that are not linked
    and score higher + half of those that score the same: 1 is the best, pieces that cannot be told apart share the
    middle rank.
    """
    return mean_reciprocal([*ranks(scores_AB, links_AB), *ranks(scores_AB.T, links_AB.T)])


def one_way(scores_AB: Floats, links_AB: Links) -> float:
    """The same where only the pieces of A ask."""
    return mean_reciprocal(ranks(scores_AB, links_AB))


def ranks(scores_AB: Floats, links_AB: Links) -> list[float]:
    """Rank of the best linked piece for each row that has a link."""
    found: list[float] = []
    for score, linked in zip(scores_AB, links_AB, strict=True):
        if linked.any():
            best, others = score[linked].max(), score[~linked]
            found.append(1 + int((others > best).sum()) + int((others == best).sum()) / 2)
    return found


def mean_reciprocal(ranks: list[float]) -> float:
    """Mean of 1 / rank; NaN where nobody asks."""
    return float(np.mean([1 / rank for rank in ranks])) if ranks else float("nan")


def shifted(scores_AB: Floats, links_AB: Links, found: Callable[[Floats, Links], float] = mrr) -> Floats:
    """`found` with the pieces of B shifted round, for every shift: [B − 1]. The order of the pieces stays."""
    return np.array([found(np.roll(scores_AB, shift, axis=1), links_AB) for shift in range(1, scores_AB.shape[1])])


def cosine_scores(a_AD: Floats, b_BD: Floats) -> Floats:
    """Cosines [A, B] after each side's own mean is taken away; 0 with a vector that is then 0.

    What all pieces of one side have in common, because they stand in one text or role, says nothing of which is which.
    """
    scores: Floats = directions(a_AD) @ directions(b_BD).T
    return scores


def directions(x_ND: Floats) -> Floats:
    """The vectors from their mean on, each of length 1; 0 where nothing but rounding is left."""
    centred = x_ND - x_ND.mean(axis=0)
    size = np.linalg.norm(centred, axis=1, keepdims=True)
    real = size > 1e-12 * np.linalg.norm(x_ND, axis=1, keepdims=True)
    unit: Floats = np.where(real, centred / np.where(real, size, 1.0), 0.0)
    return unit


def separability(a_ND: Floats, b_ND: Floats) -> float:
    """Share of vectors nearer to the mean of their own side than to the other's, row i of both sides left out of both.

    Row i is the same piece in two roles: what tells the roles apart is judged on pieces that did not teach it. Equal
    distances count half.
    """
    n = len(a_ND)
    means_a, means_b = ((vectors.sum(axis=0) - vectors) / (n - 1) for vectors in (a_ND, b_ND))
    hits = []
    for own, mean_own, mean_other in ((a_ND, means_a, means_b), (b_ND, means_b, means_a)):
        near, far = (np.linalg.norm(own - mean, axis=1) for mean in (mean_own, mean_other))
        hits.append((near < far) + (near == far) / 2)
    return float(np.mean(hits))
