"""The blocks of GLA, with the parameter names and shapes of fla's GLAForCausalLM.

Source: arXiv 2312.06635 and the models of flash-linear-attention; formulas, and where the two differ, in
docs/networks/gla.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resonance.networks.gated_linear_attention import Kernel, gated_linear_attention


@dataclass(frozen=True)
class Sizes:
    """What a layer is made of: all widths are sums over heads; chunk and kernel say only how it is computed."""

    width: int
    heads: int
    key: int
    value: int
    gate_rank: int
    gate_normalizer: float
    feedforward: int
    norm_eps: float
    chunk: int
    kernel: Kernel | None


class RMSNorm(nn.Module):
    """x / sqrt(mean x² + eps) ⊙ weight, over the last dimension, in float32 at least."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of the shape and the type of x."""
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        normed = precise * torch.rsqrt(precise.square().mean(-1, keepdim=True) + self.eps)
        return (self.weight * normed).to(x.dtype)


class GatedLinearAttention(nn.Module):
    """Queries, keys, values and the forget gate made from the input; what is read back is normed per head and gated."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        D, self.sizes = sizes.width, sizes
        self.q_proj = nn.Linear(D, sizes.key, bias=False)
        self.k_proj = nn.Linear(D, sizes.key, bias=False)
        self.v_proj = nn.Linear(D, sizes.value, bias=False)
        self.g_proj = nn.Linear(D, sizes.value, bias=False)
        self.gk_proj = nn.Sequential(nn.Linear(D, sizes.gate_rank, bias=False), nn.Linear(sizes.gate_rank, sizes.key))
        self.g_norm_swish_gate = RMSNorm(sizes.value // sizes.heads, sizes.norm_eps)
        self.o_proj = nn.Linear(sizes.value, D, bias=False)

    def forward(self, x_BTD: Tensor, matrix_BHKV: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (output [B, T, D], the matrix after the last token)."""
        q, k, v, gate = (self.heads(map_(x_BTD)) for map_ in (self.q_proj, self.k_proj, self.v_proj, self.g_proj))
        log_a = F.logsigmoid(self.heads(self.gk_proj(x_BTD))) / self.sizes.gate_normalizer
        o, matrix_BHKV = gated_linear_attention(q, k, v, log_a, matrix_BHKV, self.sizes.chunk, self.sizes.kernel)
        y = self.g_norm_swish_gate(o) * F.silu(gate)
        return self.o_proj(y.flatten(2)), matrix_BHKV

    def heads(self, x_BTD: Tensor) -> Tensor:
        """[B, T, K or V of all heads] → [B, T, H, K or V]."""
        return x_BTD.unflatten(-1, (self.sizes.heads, -1))


class GatedMLP(nn.Module):
    """The feedforward part: W_down (swish(W_gate x) ⊙ W_up x)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Returns the output [B, T, D]."""
        y_BTD: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return y_BTD


class Block(nn.Module):
    """One layer: gated linear attention and feedforward, each normed before and added to the stream."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(sizes.width, sizes.norm_eps)
        self.attn = GatedLinearAttention(sizes)
        self.mlp_norm = RMSNorm(sizes.width, sizes.norm_eps)
        self.mlp = GatedMLP(sizes.width, sizes.feedforward)

    def forward(self, x_BTD: Tensor, matrix_BHKV: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (output [B, T, D], the matrix of this layer after the last token)."""
        mixed_BTD, matrix_BHKV = self.attn(self.attn_norm(x_BTD), matrix_BHKV)
        x_BTD = x_BTD + mixed_BTD
        return x_BTD + self.mlp(self.mlp_norm(x_BTD)), matrix_BHKV


class Trunk(nn.Module):
    """All but the head, under the name `model`."""

    def __init__(self, vocabulary: int, layers: int, sizes: Sizes) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(vocabulary, sizes.width)
        self.layers = nn.ModuleList(Block(sizes) for _ in range(layers))
        self.norm = RMSNorm(sizes.width, sizes.norm_eps)
