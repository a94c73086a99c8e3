"""The layers of the test-time-memory network: attention or a TTT-Linear memory, then SwiGLU.

A mixing of either kind takes the part of the state that is its own, and returns it as it is after the last token.
Sources: the layers of Llama (arXiv 2302.13971), TTT-Linear in a transformer (arXiv 2407.04620); formulas in
docs/networks/memory.md.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from resonance.networks.network import State
from resonance.networks.ttt import Fast, Rule, folded, ttt_linear

STD = 0.02
"""Standard deviation of fresh matrices (GPT-2's, Llama's and TTT's)."""

EPS = 1e-6
"""Added to the mean square or the variance in every norm."""

THETA = 10_000.0
"""Base of the periods of rotary positions."""


class Mixing(nn.Module):
    """What lets a token see earlier ones: H heads of size F = D / H, four matrices without bias.

    The names of the parameters are those of Llama and of the code of TTT's authors.
    """

    parts: tuple[str, ...]
    """Names of the tensors that it carries from token to token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, width // heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def projected(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [B, H, T, F]."""
        q, k, v = (
            project(x_BTD).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        return q, k, v

    def nothing(self, batch: int, dtype: torch.dtype) -> Tensor:
        """Keys, values or steps of no token [B, H, 0, F]."""
        return self.q_proj.weight.new_zeros(batch, self.heads, 0, self.head_size, dtype=dtype)

    def empty(self, batch: int) -> State:
        """The state before the first token."""
        raise NotImplementedError

    def between(self, state: State) -> State:
        """What of the state the next sequence begins with."""
        raise NotImplementedError

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns (output [B, T, D], the state after the last token)."""
        raise NotImplementedError


class Attention(Mixing):
    """Causal attention with rotary positions; its state are keys and values of the sequence so far, [B, H, tokens, F].

    A position is the number of tokens before it, so the state knows where it is.
    """

    parts = ("keys", "values")

    def empty(self, batch: int) -> State:
        """See `Mixing.empty`."""
        return {part: self.nothing(batch, self.q_proj.weight.dtype) for part in self.parts}

    def between(self, state: State) -> State:
        """Nothing: every sequence is attended to for itself."""
        return {part: self.nothing(len(state[part]), state[part].dtype) for part in self.parts}

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Mixing.forward`."""
        past = state["keys"].shape[2]
        q, k, v = self.projected(x_BTD)
        q, k = rotated(q, past), rotated(k, past)
        if past:
            k = torch.cat([state["keys"].to(k.dtype), k], 2)
            v = torch.cat([state["values"].to(v.dtype), v], 2)
        y_BTD = attention(q, k, v).transpose(1, 2).flatten(2)
        return self.o_proj(y_BTD), {"keys": k, "values": v}


def rotated(x: Tensor, past: int) -> Tensor:
    """Rotary positions: entries f and f + F/2 of x [B, H, T, F] turned by (past + t) · THETA^(−2 f / F)."""
    half, precise = x.shape[-1] // 2, torch.promote_types(x.dtype, torch.float32)
    place_T = torch.arange(past, past + x.shape[2], device=x.device, dtype=precise)
    speed_F = THETA ** (-torch.arange(half, device=x.device, dtype=precise) / half)
    angle_TF = place_T[:, None] * speed_F
    cos, sin = angle_TF.cos().to(x.dtype), angle_TF.sin().to(x.dtype)
    one, two = x.split(half, -1)
    return torch.cat([one * cos - two * sin, two * cos + one * sin], -1)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ / √F) v of T queries over the last T of the keys and all before: [B, H, T, F].

    The fast kernels have no forward-mode derivative, so where one is being taken the plain one is used.
    """
    new, known = q.shape[2], k.shape[2]
    seen = None if new in (1, known) else torch.ones(new, known, dtype=torch.bool, device=q.device).tril(known - new)
    whole = new == known
    if any(forward_ad.unpack_dual(x).tangent is not None for x in (q, k, v)):
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v, seen, is_causal=whole)
    return F.scaled_dot_product_attention(q, k, v, seen, is_causal=whole)


class TTTLinear(Mixing):
    """A TTT-Linear memory in the place of attention, with the names and shapes of the authors' code.

    block: C, tokens whose inner gradients are taken at the same weights. inner_rate: highest rate of a token, times F.
    State: the three tensors of `ttt.Fast`; before the first token W and b are W1 and b1, which are learned.
    """

    parts = Fast._fields

    def __init__(self, width: int, heads: int, block: int, inner_rate: float) -> None:
        super().__init__(width, heads)
        size = self.head_size
        self.inner_rate = inner_rate
        self.W1 = nn.Parameter(torch.empty(heads, size, size))
        self.b1 = nn.Parameter(torch.empty(heads, 1, size))
        self.learnable_ttt_lr_weight = nn.Parameter(torch.empty(heads, 1, width))
        self.learnable_ttt_lr_bias = nn.Parameter(torch.empty(heads, 1))
        self.learnable_token_idx = nn.Parameter(torch.empty(block))
        self.ttt_norm_weight = nn.Parameter(torch.empty(heads, size))
        self.ttt_norm_bias = nn.Parameter(torch.empty(heads, size))
        self.post_norm = nn.LayerNorm(width, eps=EPS)

    def reset(self, generator: Generator) -> None:
        """The official start of what is no matrix of the transformer; b1 and all that is learned of the rates are 0."""
        nn.init.normal_(self.W1, 0.0, STD, generator=generator)
        nn.init.normal_(self.learnable_ttt_lr_weight, 0.0, STD, generator=generator)
        nn.init.ones_(self.ttt_norm_weight)
        for parameter in (self.b1, self.learnable_ttt_lr_bias, self.learnable_token_idx, self.ttt_norm_bias):
            nn.init.zeros_(parameter)

    def empty(self, batch: int) -> State:
        """See `Mixing.empty`; gradients reach W1 and b1 through it."""
        start = torch.cat([self.W1, self.b1], 1)
        precise = torch.promote_types(start.dtype, torch.float32)
        nothing = self.nothing(batch, precise)
        return Fast(start.to(precise).expand(batch, -1, -1, -1), nothing, nothing.clone())._asdict()

    def between(self, state: State) -> State:
        """W and b as the last token was read with; the next sequence begins a block with them."""
        return folded(Fast(**state), self.rule())._asdict()

    def rule(self) -> Rule:
        """The part of the inner training that does not depend on the token."""
        C = len(self.learnable_token_idx)
        place_C = torch.arange(1, C + 1, device=self.W1.device, dtype=self.W1.dtype)
        scales_C = (1 / place_C + self.learnable_token_idx).clamp_min(0)
        return Rule(scales_C, self.ttt_norm_weight.unsqueeze(1), self.ttt_norm_bias.unsqueeze(1))

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Mixing.forward`."""
        asked_BTH = F.linear(x_BTD, self.learnable_ttt_lr_weight.squeeze(1), self.learnable_ttt_lr_bias.squeeze(1))
        rates_BHT = asked_BTH.sigmoid().mT * (self.inner_rate / self.head_size)
        y, fast = ttt_linear(*self.projected(x_BTD), rates_BHT, Fast(**state), self.rule())
        y_BTD: Tensor = self.o_proj(self.post_norm(y.transpose(1, 2).flatten(2)))
        return y_BTD, fast._asdict()


class SwiGLU(nn.Module):
    """down(silu(gate(x)) ⊙ up(x)), without bias."""

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
    """One layer: mixing and SwiGLU, each normalised before and added to the stream."""

    def __init__(self, mixing: Mixing, width: int, hidden: int) -> None:
        super().__init__()
        self.mixing = mixing
        self.mlp = SwiGLU(width, hidden)
        self.mixing_norm = nn.RMSNorm(width, eps=EPS)
        self.mlp_norm = nn.RMSNorm(width, eps=EPS)

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns (output [B, T, D], the state of this layer after the last token)."""
        mixed_BTD, state = self.mixing(self.mixing_norm(x_BTD), state)
        x_BTD = x_BTD + mixed_BTD
        return x_BTD + self.mlp(self.mlp_norm(x_BTD)), state
