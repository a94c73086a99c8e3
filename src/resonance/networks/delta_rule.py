"""The delta rule of RWKV-7: a matrix that forgets, takes back and writes, once per token.

    S_t = S_{t-1} (diag(w_t) + a_t b_tᵀ) + v_t k_tᵀ        S in R^{V×K}, one row per entry of the value
    y_t = S_t r_t

Two forms of one function: `recurrent` says it token by token, `chunked` computes many tokens with a few large products.
Sources: arXiv 2503.14456 (the rule), arXiv 2406.06484 (the chunked form of a delta rule).

Shapes: r, log_w, k, v, a, b and y are [B, T, H, N], where N is the head size; the state is [B, H, N, N].
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHORT = 4
"""Up to this many tokens, the token-by-token form is the faster one."""


def delta_rule(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """Returns (y, the state after the last token), by the form that suits the number of tokens.

    Computed in float32 at least, also under autocast: e^{-g} of the chunked form and sums over thousands of tokens
    would be lost in 8 or 11 bits.
    """
    precise = torch.promote_types(torch.promote_types(r.dtype, state.dtype), torch.float32)
    r_, log_w, k, v, a, b, state = (x.to(precise) for x in (r, log_w, k, v, a, b, state))
    with torch.autocast(r.device.type, enabled=False):
        if r.shape[1] <= SHORT:
            y, state = recurrent(r_, log_w, k, v, a, b, state)
        else:
            y, state = chunked(r_, log_w, k, v, a, b, state, chunk)
    return y.to(r.dtype), state


def recurrent(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The definition: returns (y, the state after the last token). Fastest for a few tokens."""
    y = []
    columns = (x.unsqueeze(-1).unbind(1) for x in (r, v, a))
    rows = (x.unsqueeze(-2).unbind(1) for x in (log_w.exp(), k, b))
    for r_t, v_t, a_t, w_t, k_t, b_t in zip(*columns, *rows, strict=True):
        state = state * w_t + (state @ a_t) * b_t + v_t * k_t
        y.append(state @ r_t)
    return torch.stack(y, 1).squeeze(-1), state


def chunked(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """The same in blocks of at most `chunk` tokens: returns (y, the state after the last token).

    With g_t the sum of log w over the chunk up to t, each state inside a chunk is diag(e^g) applied to the state before
    it and to rank-one terms, so that for the rows u_t = S_{t-1} a_t of U

        U = (I - tril₋₁(A' B'ᵀ))⁻¹ (A' S₀ᵀ + tril₋₁(A' K'ᵀ) V)      A' = A e^{g - log w},  B' = B e^{-g},  K' = K e^{-g}
        Y = R' S₀ᵀ + tril(R' B'ᵀ) U + tril(R' K'ᵀ) V                R' = R e^g
        S = S₀ diag(e^{g_end}) + Uᵀ B e^{g_end - g} + Vᵀ K e^{g_end - g}

    All of it is affine in S₀, so the maps S₀ → S and S₀ → Y are found for all chunks at once, and the loop over chunks
    is one product each. Since log w >= -e^{-1/2}, e^{-g} stays inside float32 up to 128 tokens.
    """
    T = r.shape[1]
    chunks = math.ceil(T / chunk)
    chunk = math.ceil(T / chunks)
    r, log_w, k, v, a, b = (_split(x, chunks, chunk) for x in (r, log_w, k, v, a, b))

    g = log_w.cumsum(-2)
    grown, shrunk, rest = (-g).exp(), g.exp(), (g[..., -1:, :] - g).exp()
    r_in, a_in = r * shrunk, a * (g - log_w).exp()
    from_b, from_k = (b * grown).mT, (k * grown).mT

    # Only what lies below the diagonal of the system is read; its diagonal is taken as 1.
    written = (a_in @ from_k).tril(-1) @ v
    u = torch.linalg.solve_triangular(-(a_in @ from_b), torch.cat([a_in, written], -1), upper=False, unitriangular=True)
    u_by_state, u_alone = u.chunk(2, -1)
    seen_b = (r_in @ from_b).tril()
    y_by_state = r_in + seen_b @ u_by_state
    y_alone = seen_b @ u_alone + (r_in @ from_k).tril() @ v
    carried = torch.diag_embed(shrunk[..., -1, :]) + u_by_state.mT @ (b * rest)
    added = u_alone.mT @ (b * rest) + v.mT @ (k * rest)

    before = []
    for carried_c, added_c in zip(carried.unbind(2), added.unbind(2), strict=True):
        before.append(state)
        state = state @ carried_c + added_c
    y = y_alone + y_by_state @ torch.stack(before, 2).mT
    return y.permute(0, 2, 3, 1, 4).flatten(1, 2)[:, :T], state


def _split(x: Tensor, chunks: int, chunk: int) -> Tensor:
    """[B, T, H, N] → [B, H, chunks, chunk, N]; zeros at the end neither forget, nor write, nor take back."""
    B, T, H, N = x.shape
    x = F.pad(x, (0, 0, 0, 0, 0, chunks * chunk - T)).view(B, chunks, chunk, H, N)
    return x.permute(0, 3, 1, 2, 4).contiguous()
