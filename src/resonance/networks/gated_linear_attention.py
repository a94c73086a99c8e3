"""Gated linear attention: a matrix that forgets and writes, once per token, each row (key channel) at its own rate.

    S_t = diag(a_t) S_{t-1} + k_t v_tᵀ        S in R^{K×V}, one row per channel of the key; 0 <= a_t <= 1
    o_t = S_tᵀ q_t / sqrt(K)

Two forms of one function: `recurrent` says it token by token, `chunked` computes many tokens with a few large products.
Source: arXiv 2312.06635 (the rule; that chunks are made of halves, and never divide by a gate, is this project's).

Shapes: q, k and log_a are [B, T, H, K], v and o are [B, T, H, V]; the state is [B, H, K, V].
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from resonance.errors import UserError

SHORT = 8
"""Up to this many tokens, the token-by-token form is the faster one."""

Kernel = Callable[..., tuple[Tensor, Tensor]]
"""`chunk_gla` of the package fla-core, which scales the queries itself and has the shapes of this file."""


def gated_linear_attention(
    q: Tensor, k: Tensor, v: Tensor, log_a: Tensor, state: Tensor, chunk: int, kernel: Kernel | None = None
) -> tuple[Tensor, Tensor]:
    """Returns (o, the state after the last token), by the form that suits the number of tokens, or by `kernel`.

    Computed in float32 at least, also under autocast: sums over thousands of tokens would be lost in 8 or 11 bits.
    """
    if kernel is not None and not q.is_cuda:
        raise UserError("network.gla.kernel: fla runs on a GPU alone: set compute.device: cuda, or kernel: torch.")
    precise = torch.promote_types(torch.promote_types(q.dtype, state.dtype), torch.float32)
    q_, k, v, log_a, state = (x.to(precise) for x in (q, k, v, log_a, state))
    with torch.autocast(q.device.type, enabled=False):
        if q.shape[1] <= SHORT:
            o, state = recurrent(q_, k, v, log_a, state)
        elif kernel is None:
            o, state = chunked(q_, k, v, log_a, state, chunk)
        else:
            o, state = kernel(q_, k, v, log_a, initial_state=state, output_final_state=True)
    return o.to(q.dtype), state


def recurrent(q: Tensor, k: Tensor, v: Tensor, log_a: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The definition: returns (o, the state after the last token). Fastest for a few tokens."""
    o = []
    rows = (x.unsqueeze(-2).unbind(1) for x in (q * q.shape[-1] ** -0.5, v))
    columns = (x.unsqueeze(-1).unbind(1) for x in (k, log_a.exp()))
    for q_t, v_t, k_t, a_t in zip(*rows, *columns, strict=True):
        state = state * a_t + k_t * v_t
        o.append(q_t @ state)
    return torch.stack(o, 1).squeeze(-2), state


def chunked(q: Tensor, k: Tensor, v: Tensor, log_a: Tensor, state: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """The same in blocks of `chunk` tokens, a power of two: returns (o, the state after the last token).

    With what `within` knows of each block,  O = P V + R S₀,  S = diag(w) S₀ + Wᵀ V.
    """
    T = q.shape[1]
    chunk = min(chunk, 1 << (T - 1).bit_length())
    q, k, v, log_a = (_split(x, chunk) for x in (q * q.shape[-1] ** -0.5, k, v, log_a))
    seen, reading, writing, kept = within(q, k, log_a.exp())

    before = []
    for kept_c, added_c in zip(kept.unsqueeze(-1).unbind(2), (writing.mT @ v).unbind(2), strict=True):
        before.append(state)
        state = state * kept_c + added_c
    o = seen @ v + reading @ torch.stack(before, 2)
    return o.permute(0, 2, 3, 1, 4).flatten(1, 2)[:, :T], state


def within(q: Tensor, k: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What blocks of C tokens do, from q, k, a [..., C, K]: returns (P [..., C, C], R, W [..., C, K], w [..., K]).

    P_ij = Σ q_i k_j Π a over j < m <= i (0 above the diagonal): what token i reads of token j.
    R_i = q_i Π a over m <= i: its query as the state before the block meets it.
    W_j = k_j Π a over m > j: its key as the state after the block holds it.  w = Π a over the block.

    One token has P = q·k, R = q ⊙ a, W = k, w = a; two neighbours make a block of twice the length:

        P = [ P₁      0  ]    R = [ R₁      ]    W = [ W₁ ⊙ w₂ ]    w = w₁ ⊙ w₂
            [ R₂ W₁ᵀ  P₂ ]        [ R₂ ⊙ w₁ ]        [ W₂      ]

    Gates are multiplied, never divided, so that no gate is too strong: a factor underflows only where the product does.
    """
    seen = (q * k).sum(-1)[..., None, None]
    reading, writing, kept = (q * a).unsqueeze(-2), k.unsqueeze(-2), a
    while (length := seen.shape[-1]) < q.shape[-2]:
        (P1, P2), (R1, R2), (W1, W2) = (_neighbours(x, -3) for x in (seen, reading, writing))
        w1, w2 = _neighbours(kept, -2)
        seen = torch.cat([F.pad(P1, (0, length)), torch.cat([R2 @ W1.mT, P2], -1)], -2)
        reading = torch.cat([R1, R2 * w1.unsqueeze(-2)], -2)
        writing = torch.cat([W1 * w2.unsqueeze(-2), W2], -2)
        kept = w1 * w2
    return seen.squeeze(-3), reading.squeeze(-3), writing.squeeze(-3), kept.squeeze(-2)


def _neighbours(blocks: Tensor, dim: int) -> tuple[Tensor, ...]:
    """The blocks with even and those with odd numbers along `dim`."""
    return blocks.unflatten(dim, (-1, 2)).unbind(dim)


def _split(x: Tensor, chunk: int) -> Tensor:
    """[B, T, H, N] → [B, H, chunks, chunk, N]; zeros at the end neither forget nor write."""
    B, T, H, N = x.shape
    x = F.pad(x, (0, 0, 0, 0, 0, -T % chunk)).view(B, -1, chunk, H, N)
    return x.permute(0, 3, 1, 2, 4).contiguous()


def fla_kernel() -> Kernel:
    """`chunk_gla` of fla-core, or a UserError where it cannot run."""
    wanted = "network.gla.kernel: fla needs an NVIDIA GPU and the package fla-core with Triton"
    remedy = 'set kernel: torch, or run `pip install "fla-core[cuda]"` where there is a GPU.'
    if not torch.cuda.is_available():
        raise UserError(f"{wanted}; there is no GPU here: {remedy}")
    try:
        return cast(Kernel, import_module("fla.ops.gla").chunk_gla)
    except ImportError as missing:
        raise UserError(f"{wanted}; {missing}: {remedy}") from None
