"""How many directions of the space a network uses, and how evenly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.measures.run import RunData
from resonance.measures.sample import MOST_TOKENS, evenly
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats, Tokens

SOURCE = "snapshots, fp64; condition: side (for probes: the text)"
DISCARDED = 0.1
"""Share of the tokens with the largest ratios that `two_nn` leaves out."""
LEAST = 20
"""Different vectors with which `two_nn` fits a slope."""
CANDIDATES = 8
"""Neighbours by a quick distance among which the two nearest by an exact one are looked for."""

MEASURES: dict[str, Definition] = {
    "participation_ratio": {
        "unit": "dimensions",
        "formula": "(sum of l)^2 / sum of l^2, l the eigenvalues of the covariance of the token vectors",
        "source": SOURCE,
    },
    "rankme": {
        "unit": "dimensions",
        "formula": "exp(-sum of p log p), p = s / (sum of s) + 1e-7, s the singular values of the token vectors, not "
        "centred",
        "source": SOURCE + "; Garrido et al. 2023, arXiv 2210.02885",
    },
    "two_nn": {
        "unit": "dimensions",
        "formula": "slope through the origin of -log(1 - i/n) on the log of the i-th smallest ratio of the distances "
        "to the second and the first neighbour; equal vectors count once, the upper 10 % of the ratios are left out",
        "source": SOURCE + "; Facco et al. 2017, Sci. Rep. 7, 12140",
    },
    "anisotropy": {
        "unit": "1",
        "formula": "mean cosine of all pairs of tokens of different type",
        "source": SOURCE + "; Ethayarajh 2019, arXiv 1909.00512",
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, layer, direction and side; for direction 'probe' per probe."""
    for cycle in run.snapshots.cycles:
        moment = run.snapshots.at(cycle)
        for layer in run.snapshots.layers:
            tokens = moment.layer(layer)
            conditions = np.where(tokens.direction == "probe", tokens.text, tokens.side)
            for direction, condition in sorted(set(zip(tokens.direction, conditions, strict=True))):
                own = tokens.take((tokens.direction == direction) & (conditions == condition))
                for name, value in shape(own).items():
                    yield Row(cycle, name, value, layer=layer, direction=direction, condition=condition)


def shape(tokens: Tokens) -> dict[str, float]:
    """All measures of the cloud of these tokens."""
    few = evenly(np.arange(len(tokens)), MOST_TOKENS)
    return {
        "participation_ratio": participation_ratio(tokens.vectors),
        "rankme": rankme(tokens.vectors),
        "two_nn": two_nn(tokens.vectors[few]),
        "anisotropy": anisotropy(tokens.vectors, tokens.token),
    }


def participation_ratio(x_ND: Floats) -> float:
    """(Σ λ)² / Σ λ² of the covariance of n vectors [n, D]: between 1 and min(D, n − 1); NaN where nothing varies.

    Both sums are traces, so no eigenvalue is computed: Σ λ = tr C, Σ λ² = ||C||_F².
    """
    centred = x_ND - x_ND.mean(axis=0)
    scale = np.abs(centred).max(initial=0.0)
    if scale <= 1e-12 * np.abs(x_ND).max(initial=0.0):
        return float("nan")
    centred /= scale
    wide = centred.shape[1] > centred.shape[0]
    gram = centred @ centred.T if wide else centred.T @ centred
    return float(np.trace(gram) ** 2 / np.square(gram).sum())


def rankme(x_ND: Floats) -> float:
    """exp(−Σ p log p), p = σ / Σ σ + 1e-7, of the singular values σ of n vectors that are not centred.

    The 1e-7 of the publication, which keeps the logarithm finite, adds some 1.6e-6 to the exponent per σ that is 0.

    Returns:
        Between 1 and min(D, n), up to that; NaN where all vectors are 0.
    """
    sigma = np.linalg.svd(x_ND, compute_uv=False)
    total = sigma.sum()
    if total == 0:
        return float("nan")
    p = sigma / total + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def two_nn(x_ND: Floats) -> float:
    """Intrinsic dimension from the two nearest neighbours of each vector (Facco et al. 2017, the linear fit).

    Where the density is even over the distance to the second neighbour, μ = r₂ / r₁ has the distribution
    F(μ) = 1 − μ^−d. With the ratios in ascending order, d is the slope through the origin of −log(1 − i/n) on log μᵢ,
    over the smallest int(0.9 n) of them.

    Returns:
        NaN with fewer than 20 different vectors, and where all ratios are 1.
    """
    distances_N2 = two_nearest(np.unique(x_ND, axis=0))
    first, second = distances_N2[distances_N2[:, 0] > 0].T
    n = len(first)
    if n < LEAST:
        return float("nan")
    kept = int(n * (1 - DISCARDED))
    x = np.log(np.sort(second / first)[:kept])
    y = -np.log1p(-np.arange(1, kept + 1) / n)
    return float(x @ y / (x @ x)) if x.any() else float("nan")


def two_nearest(x_ND: Floats) -> Floats:
    """Distances [n, 2] of each vector to its nearest and second nearest other.

    |x − y|² from scalar products loses the digits of a small distance between long vectors, so it only says which
    others come into question; their distances are taken from the differences.
    """
    n = len(x_ND)
    if n < 3:
        return np.zeros((0, 2))
    centred = x_ND - x_ND.mean(axis=0)
    norm = np.square(centred).sum(axis=1)
    square_NN = norm[:, None] + norm - 2 * (centred @ centred.T)
    np.fill_diagonal(square_NN, np.inf)
    count = min(CANDIDATES, n - 1)
    near_NK = np.argpartition(square_NN, count - 1, axis=1)[:, :count]
    exact_NK = np.linalg.norm(x_ND[near_NK] - x_ND[:, None], axis=2)
    nearest: Floats = np.sort(exact_NK, axis=1)[:, :2]
    return nearest


def anisotropy(x_ND: Floats, token_N: NDArray[Any]) -> float:
    """Mean cosine of all pairs of tokens of different type: 0 where directions are even, 1 where all are the same.

    With u the unit vectors it is (|Σ u|² − Σ over types |Σ of its u|²) / (n² − Σ over types n_type²). Pairs of one type
    are left out: in the first layers they have one vector.

    Returns:
        NaN where all tokens are of one type, or a vector is 0.
    """
    norm = np.linalg.norm(x_ND, axis=1, keepdims=True)
    types, number, count = np.unique(token_N, return_inverse=True, return_counts=True)
    pairs = len(x_ND) ** 2 - np.square(count).sum()
    if pairs == 0 or not norm.all():
        return float("nan")
    sums = np.zeros((len(types), x_ND.shape[1]))
    np.add.at(sums, number, x_ND / norm)
    return float((np.square(sums.sum(axis=0)).sum() - np.square(sums).sum()) / pairs)
