"""The layer of a Llama whose attention looks both ways, with the parameter names of transformers.

Source: arXiv 2302.13971 (Llama), 2104.09864 (rotary positions), 2002.05202 (SwiGLU). N is the width of a head, D / H.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6
ROTARY_BASE = 10_000.0

Rotation = tuple[Tensor, Tensor]
"""Cosine and sine [T, N] of the angle by which the channels i and i + N/2 of a head are turned at each position."""


def rotation(tokens: int, head_width: int, like: Tensor) -> Rotation:
    """Position × ROTARY_BASE^(-2i/N) for the pair i, on the device and in the precision of `like`."""
    pair = torch.arange(0, head_width, 2, device=like.device, dtype=torch.float64) / head_width
    angle = torch.arange(tokens, device=like.device, dtype=torch.float64)[:, None] * ROTARY_BASE**-pair
    both = torch.cat([angle, angle], dim=1)
    return both.cos().to(like), both.sin().to(like)


def rotated(x_BHTN: Tensor, by: Rotation) -> Tensor:
    """Every pair of channels turned by its angle."""
    cos_TN, sin_TN = by
    first, second = x_BHTN.chunk(2, dim=-1)
    return x_BHTN * cos_TN + torch.cat([-second, first], dim=-1) * sin_TN


class Attention(nn.Module):
    """Every token reads every token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x_BTD: Tensor, by: Rotation) -> Tensor:
        """Returns the output [B, T, D]."""
        q, k, v = (
            project(x_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        read_BHTN = F.scaled_dot_product_attention(rotated(q, by), rotated(k, by), v)
        out_BTD: Tensor = self.o_proj(read_BHTN.transpose(1, 2).flatten(2))
        return out_BTD


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Returns the output [B, T, D]."""
        out_BTD: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return out_BTD


class Layer(nn.Module):
    """Attention and feedforward, each normalised before and added to the stream."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.mlp = FeedForward(width, feedforward)
        self.input_layernorm = nn.RMSNorm(width, eps=NORM_EPS)
        self.post_attention_layernorm = nn.RMSNorm(width, eps=NORM_EPS)

    def forward(self, x_BTD: Tensor, by: Rotation) -> Tensor:
        """Returns what the layer leaves [B, T, D]."""
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), by)
        left_BTD: Tensor = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return left_BTD
