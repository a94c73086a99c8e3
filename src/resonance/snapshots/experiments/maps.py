"""Maps from the hidden states of one learner to those of another, learned from vectors of the same tokens.

Rows are vectors, N of them. All sums are float64 on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""What an affine map pays for its distance from I, relative to the mean squared norm of a coordinate."""


@dataclass(frozen=True)
class Map:
    """h ↦ (h − m) A + m', with the means m and m' [D] and A [D, D], in float64."""

    m_D: Tensor
    A_DD: Tensor
    moved_D: Tensor

    def __call__(self, hidden_BTD: Tensor) -> Tensor:
        """The states in the other learner's space, in the precision and on the device of those that are given."""
        m_D, A_DD, moved_D = (part.to(hidden_BTD) for part in (self.m_D, self.A_DD, self.moved_D))
        return (hidden_BTD - m_D) @ A_DD + moved_D


def shift(x_ND: Tensor, y_ND: Tensor) -> Map:
    """The mean of X to that of Y, and nothing else."""
    return Map(x_ND.mean(0), torch.eye(x_ND.shape[1], dtype=x_ND.dtype), y_ND.mean(0))


def rotation(x_ND: Tensor, y_ND: Tensor) -> Map:
    """The orthogonal A that minimises ||Y − XA|| of the centred clouds: UVᵀ of XᵀY = USVᵀ (Schönemann 1966).

    A trace of I decides about directions of which the clouds say nothing.
    """
    x, y, means = _centred(x_ND, y_ND)
    C_DD = x.T @ y
    U, _, V = torch.linalg.svd(C_DD + 1e-9 * C_DD.norm() * torch.eye(len(C_DD), dtype=C_DD.dtype))
    return Map(means[0], U @ V, means[1])


def affine(x_ND: Tensor, y_ND: Tensor, fold_N: Tensor) -> Map:
    """The A of least squares that pays for its distance from I: min ||Y − XA||² + λ ||A − I||², centred.

    λ is the one of `PENALTIES` that predicts best across folds: each value in `fold_N` is held out in turn. Folds enter
    through G = XᵀX and K = Xᵀ(Y − X) alone: the error of A = I + Δ on a fold is ⟨Δ, GΔ⟩ − 2⟨Δ, K⟩ and a constant.
    """
    x, y, means = _centred(x_ND, y_ND)
    G_DD, K_DD = x.T @ x, x.T @ (y - x)
    errors = torch.zeros(len(PENALTIES), dtype=x.dtype)
    for fold in fold_N.unique():
        held, moves = x[fold_N == fold], (y - x)[fold_N == fold]
        G, K = held.T @ held, held.T @ moves
        for number, change_DD in enumerate(ridges(G_DD - G, K_DD - K)):
            errors[number] += (change_DD * (G @ change_DD - 2 * K)).sum()
    change_DD = ridges(G_DD, K_DD)[int(errors.argmin())]
    return Map(means[0], torch.eye(len(G_DD), dtype=x.dtype) + change_DD, means[1])


def ridges(G_DD: Tensor, K_DD: Tensor) -> list[Tensor]:
    """(G + λI)⁻¹ K of every penalty."""
    s_D, U_DD = torch.linalg.eigh(G_DD)
    weights = [s_D.clamp(min=0) + penalty * s_D.mean() for penalty in PENALTIES]
    return [U_DD @ ((U_DD.T @ K_DD) / weight_D[:, None]) for weight_D in weights]


def _centred(x_ND: Tensor, y_ND: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Both clouds without their means, and these."""
    means = x_ND.mean(0), y_ND.mean(0)
    return x_ND - means[0], y_ND - means[1], means
