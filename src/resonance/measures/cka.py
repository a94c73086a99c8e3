"""Debiased linear CKA: how alike are two sets of vectors of the same tokens, whatever the coordinates?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.measures.vectors import Floats


def debiased_cka(x_ND: Floats, y_ND: Floats) -> float:
    """HSIC_u(K, L) / √(HSIC_u(K, K) HSIC_u(L, L)) of the linear kernels K = XXᵀ, L = YYᵀ.

    HSIC_u is the unbiased estimator of Song et al. 2012 (JMLR 13, eq. 5), so that unrelated vectors give 0 on average,
    where the usual (biased) CKA of 300 independent Gaussian vectors of width 256 is 0.46. It does not change under
    rotations, isotropic scaling and shifts of either set; slightly negative values are possible.

    Args:
        x_ND, y_ND: vectors of the same n ≥ 4 tokens, in rows; the widths may differ.

    Returns:
        At most 1; NaN where one of the sets does not vary.
    """
    if len(x_ND) != len(y_ND):
        raise ValueError(f"{len(x_ND)} and {len(y_ND)} vectors: row i must be the same token in both")
    return alignment(centred_gram(x_ND), centred_gram(y_ND))


def centred_gram(x_ND: Floats) -> Floats:
    """The linear kernel [n, n] with its diagonal left out and U-centred (Székely & Rizzo 2014, Ann. Statist. 42).

    With K̃ the kernel with zero diagonal, entry (i, j) is K̃ᵢⱼ − Σₖ K̃ᵢₖ/(n−2) − Σₖ K̃ₖⱼ/(n−2) + Σ K̃/((n−1)(n−2)), and 0 on
    the diagonal. In these terms HSIC_u(K, L) = ⟨A, B⟩ / (n(n−3)). The vectors are first centred and scaled to Frobenius
    norm 1, which changes no CKA, so that no epsilon is needed for features of any scale.
    """
    n = len(x_ND)
    if n < 4:
        raise ValueError(f"{n} vectors: debiased CKA needs at least 4")
    centred = x_ND - x_ND.mean(axis=0)
    norm = np.linalg.norm(centred)
    if norm <= 1e-12 * np.linalg.norm(x_ND):
        return np.zeros((n, n))
    centred /= norm
    kernel: Floats = centred @ centred.T
    np.fill_diagonal(kernel, 0.0)
    row = kernel.sum(axis=0) / (n - 2)
    kernel += row.sum() / (n - 1) - row[:, None] - row[None, :]
    np.fill_diagonal(kernel, 0.0)
    return kernel


def alignment(a_NN: Floats, b_NN: Floats) -> float:
    """⟨A, B⟩ / (||A|| ||B||) of two centred kernels: their CKA."""
    norm = np.linalg.norm(a_NN) * np.linalg.norm(b_NN)
    return float(np.vdot(a_NN, b_NN) / norm) if norm > 0 else float("nan")


def null_alignments(a_NN: Floats, b_NN: Floats, orders: Iterable[NDArray[Any]]) -> Floats:
    """The CKA of A with B for tokens put in other orders: what it is where nothing corresponds."""
    return np.array([alignment(a_NN, b_NN.take(order, axis=0).take(order, axis=1)) for order in orders])
