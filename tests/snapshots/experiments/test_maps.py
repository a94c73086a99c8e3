"""Maps between clouds of vectors that are known to be maps of each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from resonance.snapshots.experiments.maps import PENALTIES, affine, ridges, rotation, shift


def cloud(n: int = 300, width: int = 12, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.5, 2, width, dtype=torch.float64)
    return torch.randn(n, width, generator=draws, dtype=torch.float64) * scale + 3.0


def orthogonal(width: int = 12) -> Tensor:
    return torch.linalg.qr(cloud(width, width, 9)).Q


def folds(n: int = 300) -> Tensor:
    return torch.arange(n) % 3


def test_a_rotation_is_found_with_its_means() -> None:
    x = cloud()
    y = x @ orthogonal() - 7.0
    found = rotation(x, y)
    torch.testing.assert_close(found(x), y, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.A_DD, orthogonal(), rtol=0, atol=1e-7)
    torch.testing.assert_close(affine(x, y, folds())(x), y, rtol=0, atol=1e-3)


def test_a_rotation_is_orthogonal_whatever_it_is_taught() -> None:
    A_DD = rotation(cloud(), cloud(seed=1)).A_DD
    torch.testing.assert_close(A_DD @ A_DD.T, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-12)
    flat = cloud().clone()
    flat[:, 4:] = 1.0
    torch.testing.assert_close(rotation(flat, flat).A_DD, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-9)


def test_a_shift_moves_the_mean_alone() -> None:
    x, y = cloud(), cloud(seed=1) * 4 - 2
    moved = shift(x, y)(x)
    torch.testing.assert_close(moved.mean(0), y.mean(0))
    torch.testing.assert_close(moved - moved.mean(0), x - x.mean(0))


def test_an_affine_map_is_the_one_of_least_squares_where_there_is_no_noise() -> None:
    x, A = cloud(), torch.randn(12, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = x @ A + 1.0
    found = affine(x, y, folds())
    torch.testing.assert_close(found(cloud(seed=5)), cloud(seed=5) @ A + 1.0, rtol=0, atol=1e-3)


def test_what_is_noise_is_left_as_it_is() -> None:
    """Of few tokens and much noise, the penalty is the greatest: A stays near I."""
    x = cloud(30)
    y = x + 5 * cloud(30, seed=3)
    found = affine(x, y, folds(30)).A_DD
    chosen = ridges((x - x.mean(0)).T @ (x - x.mean(0)), (x - x.mean(0)).T @ (y - x - (y - x).mean(0)))[-1]
    torch.testing.assert_close(found, torch.eye(12, dtype=torch.float64) + chosen)


@pytest.mark.parametrize("noise", [0.03, 1.0, 3.0])
def test_the_penalty_is_the_one_that_predicts_folds_best(noise: float) -> None:
    """Folds by their sums and folds by their vectors agree."""
    x = cloud(60)
    y = 0.5 * x @ orthogonal() + noise * cloud(60, seed=3)
    xc, yc, fold_N = x - x.mean(0), y - y.mean(0), folds(60)
    errors = torch.zeros(len(PENALTIES), dtype=x.dtype)
    for fold in range(3):
        fit, held = fold_N != fold, fold_N == fold
        for number, penalty in enumerate(PENALTIES):
            G = xc[fit].T @ xc[fit]
            weight = penalty * torch.linalg.eigvalsh(G).mean() * torch.eye(12, dtype=x.dtype)
            A = torch.linalg.solve(G + weight, xc[fit].T @ yc[fit] + weight)
            errors[number] += (xc[held] @ A - yc[held]).square().sum()
    G, K = xc.T @ xc, xc.T @ (yc - xc)
    wanted = torch.eye(12, dtype=x.dtype) + ridges(G, K)[int(errors.argmin())]
    torch.testing.assert_close(affine(x, y, fold_N).A_DD, wanted)


def test_a_map_takes_the_precision_of_what_it_is_given() -> None:
    found = rotation(cloud(), cloud() @ orthogonal())
    h_BTD = cloud(10).float().view(2, 5, 12)
    assert found(h_BTD).dtype == torch.float32
    torch.testing.assert_close(found(h_BTD).double(), found(h_BTD.double()), rtol=0, atol=1e-4)
