"""How much of a drift is a rotation of the whole cloud, and how much is a change of its shape?

The question. At cycle 0 the tokens have the vectors X, at cycle c the vectors Y. A rotation of all of them moves every
vector and changes nothing that a later layer could not undo. So drift is split into what one orthogonal Q explains and
the rest, by the error on held-out tokens (p at cycle 0, q at cycle c, both centred):

    drift²         = ||q − p||²_F / ||p||²_F
    rest²          = ||q − pQ||²_F / ||p||²_F
    rotation_share = 1 − rest² / drift²

All three count all D dimensions. A rotation gives rest = 0 and share = 1. Growth, shrinking, new directions and noise
stay in the rest. Without drift there is nothing to split: the share is NaN. A Q that turns what did not turn makes the
error larger than the drift was: the share is then below 0. A shift of the mean is neither; it is told apart.

Why not the tokens of the fit. Let Y = X + E with noise of variance σ², and let sᵢ be the variances of X along its
principal axes. To first order the best Q on n tokens is I + A, A antisymmetric, Aᵢⱼ = (Nᵢⱼ − Nⱼᵢ) / (n(sᵢ + sⱼ)) with
N = XᵀE, so Var Aᵢⱼ = σ² / (n(sᵢ + sⱼ)). On the tokens of the fit it removes Σᵢ<ⱼ n(sᵢ + sⱼ) Var Aᵢⱼ = σ² D(D − 1)/2 of
the nDσ² that are there: a share of (D − 1)/2n, 21 % of pure noise at n = 600, D = 256. On m other tokens it adds
Σᵢ≠ⱼ m sᵢ Var Aᵢⱼ, the same share with the opposite sign. A fit in k principal components has the same error with k in
the place of D: with k ≤ n/20 it is at most 2.5 % of the noise in them.

Why k is chosen and not set to n/20. Where k < D, a rotation of everything is explained only as far as the k components
reach: the positive control, a rotation that must give 1, would fail wherever texts are short. With k = D, noise costs
(D − 1)/2n. So Q turns the first k principal components of both clouds taken together and leaves the others as they
are, and k, from 0 (no rotation) to D (all), is the one that predicts best *among the tokens of the fit*: they are cut
into folds, and the tokens that validate a fold are of types that its fit has not seen. The held-out tokens take no
part. A rotation then gets k = D and share 1; noise gets few components or none, and a share within 2 % of 0.

Token types, not tokens, are held out: in the first layers all occurrences of a type drift alike, so whoever has fitted
one has seen the others, and what is called held-out would not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.measures.vectors import Floats

Fold = tuple[NDArray[Any], NDArray[Any]]
"""Places of the tokens that fit and of those that validate, among the tokens of the fit."""

NO_DRIFT = 1e-6
"""Relative drift below which float32 vectors are the same."""


@dataclass(frozen=True)
class Split:
    """A drift and its parts, on held-out tokens.

    drift, rest: relative to the norm of the cloud at cycle 0. rotation_share: at most 1, NaN without drift.
    shift: length of the mean's move relative to the root mean square distance from the mean at cycle 0.
    components: how many principal components the rotation turns.
    """

    drift: float
    rotation_share: float
    rest: float
    shift: float
    components: int


def procrustes_rotation(x_ND: Floats, y_ND: Floats) -> Floats:
    """The orthogonal Q [D, D] that minimises ||Y − XQ||_F for the centred X and Y [n, D] (Schönemann 1966).

    With XᵀY = USVᵀ it is UVᵀ. Directions that the vectors do not reach stay as near to themselves as they can.
    """
    return nearest_rotation(centred(x_ND).T @ centred(y_ND))


def split_drift(x_ND: Floats, y_ND: Floats, p_MD: Floats, q_MD: Floats, folds: Sequence[Fold]) -> Split:
    """Split the drift from p to q by the rotation that the drift from x to y teaches.

    Args:
        x_ND, y_ND: the tokens of the fit at cycle 0 and c.
        p_MD, q_MD: the held-out tokens at cycle 0 and c.
        folds: how the fit's tokens are cut to choose the number of components.
    """
    p, q = centred(p_MD), centred(q_MD)
    norm, moved = float(np.linalg.norm(p)), float(np.linalg.norm(q - p))
    shift = float(np.linalg.norm(q_MD.mean(axis=0) - p_MD.mean(axis=0))) * sqrt(len(p))
    if norm == 0:
        return Split(nan, nan, nan, nan, 0)
    if moved <= NO_DRIFT * norm:
        return Split(moved / norm, nan, moved / norm, shift / norm, 0)
    x, y = centred(x_ND), centred(y_ND)
    basis_DD = np.linalg.eigh(x.T @ x + y.T @ y)[1][:, ::-1]
    x, y = x @ basis_DD, y @ basis_DD
    k = best_components(x, y, folds)
    if k == 0:
        return Split(moved / norm, 0.0, moved / norm, shift / norm, 0)
    p, q = p @ basis_DD, q @ basis_DD
    p[:, :k] = p[:, :k] @ nearest_rotation(x[:, :k].T @ y[:, :k])
    left = float(np.linalg.norm(q - p))
    return Split(moved / norm, 1 - (left / moved) ** 2, left / norm, shift / norm, k)


def best_components(x_ND: Floats, y_ND: Floats, folds: Sequence[Fold]) -> int:
    """The number of leading columns to turn that predicts the validation tokens best; of equals the smallest.

    The squared error of a rotation R of the first k columns is ||x||² + ||y||² − 2(⟨R, C₁₁⟩ + tr C₂₂) with C = xᵀy, so
    it takes one product per fold.
    """
    sizes = candidates(x_ND.shape[1])
    errors = np.zeros(len(sizes))
    for fit, validation in folds:
        taught_DD = centred(x_ND[fit]).T @ centred(y_ND[fit])
        x, y = centred(x_ND[validation]), centred(y_ND[validation])
        asked_DD, total = x.T @ y, float(np.square(x).sum() + np.square(y).sum())
        for index, k in enumerate(sizes):
            turned = np.vdot(nearest_rotation(taught_DD[:k, :k]), asked_DD[:k, :k]) if k else 0.0
            errors[index] += total - 2 * (turned + np.trace(asked_DD[k:, k:]))
    return sizes[int(np.argmax(errors <= errors.min() + 1e-6 * abs(errors[0])))]


def candidates(width: int) -> list[int]:
    """0, 4, 8, 16, ... below the width, and the width."""
    return [0, *(4 << i for i in range(width.bit_length()) if 4 << i < width), width]


def nearest_rotation(c_DD: Floats) -> Floats:
    """The orthogonal matrix UVᵀ nearest to C = USVᵀ; a trace of I decides where C says nothing."""
    u, _, v = np.linalg.svd(c_DD + 1e-9 * np.linalg.norm(c_DD) * np.eye(len(c_DD)))
    rotation: Floats = u @ v
    return rotation


def relative_norm(x_ND: Floats, y_ND: Floats) -> float:
    """||X|| / ||Y|| of the centred matrices; NaN where Y does not vary."""
    norm = float(np.linalg.norm(centred(y_ND)))
    return float(np.linalg.norm(centred(x_ND))) / norm if norm > 0 else nan


def centred(x_ND: Floats) -> Floats:
    """The vectors without their mean."""
    without_mean: Floats = x_ND - x_ND.mean(axis=0)
    return without_mean
