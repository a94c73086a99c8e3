"""What RWKV-7 multiplies the matrices of its state with, watched while it reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from resonance.networks import rwkv7_blocks


def transitions(monkeypatch: pytest.MonkeyPatch, depth: int, read: Callable[[], object]) -> list[Tensor]:
    """For each layer the product of diag(w) + a bᵀ over all tokens that `read` reads, float64 [H, N, N]."""
    found: list[Tensor | None] = [None] * depth
    real, calls = rwkv7_blocks.delta_rule, 0

    def watched(r, log_w, k, v, a, b, state, chunk):
        nonlocal calls
        layer, calls = calls % depth, calls + 1
        A = found[layer]
        if A is None:
            A = torch.eye(log_w.shape[-1], dtype=torch.float64).expand(log_w.shape[2], -1, -1)
        for w_HN, a_HN, b_HN in zip(log_w[0].double().exp(), a[0].double(), b[0].double(), strict=True):
            A = A * w_HN[:, None] + (A @ a_HN[..., None]) * b_HN[:, None]
        found[layer] = A
        return real(r, log_w, k, v, a, b, state, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(rwkv7_blocks, "delta_rule", watched)
        read()
    return [A for A in found if A is not None]


def radius(products: list[Tensor]) -> float:
    """The greatest |eigenvalue| of any head of any layer."""
    return max(float(torch.linalg.eigvals(A).abs().max()) for A in products)
