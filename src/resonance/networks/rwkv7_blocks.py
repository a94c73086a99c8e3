"""The blocks of RWKV-7 "Goose", with the parameter names and shapes of the published files.

Source: arXiv 2503.14456; formulas in docs/networks/rwkv7.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resonance.networks.delta_rule import delta_rule
from resonance.networks.network import State

DECAY = math.exp(-0.5)
"""The strongest decay of one token is e^-DECAY, about 0.545."""


def rank(factor: float, width: int) -> int:
    """The official rank of a low-rank map: factor × sqrt(width), to the nearest multiple of 32, at least 32."""
    return max(32, round(factor * math.sqrt(width) / 32) * 32)


@dataclass(frozen=True)
class Sizes:
    """What the settings leave open; a published file brings its own."""

    decay: int
    rate: int
    value: int
    gate: int
    feedforward: int

    @classmethod
    def official(cls, width: int) -> Sizes:
        """The sizes that the reference code takes for a width."""
        return cls(rank(2.5, width), rank(2.5, width), rank(1.7, width), rank(5, width), 4 * width)


def empty(*shape: int) -> nn.Parameter:
    """A parameter to be filled."""
    return nn.Parameter(torch.empty(shape))


def back(x_BTD: Tensor, last_BD: Tensor) -> Tensor:
    """The step from every token back to its predecessor, which is `last_BD` for the first one."""
    return torch.cat([last_BD.unsqueeze(1), x_BTD[:, :-1]], dim=1) - x_BTD


class TimeMixing(nn.Module):
    """What RWKV-7 has in the place of attention: the delta rule over decay, keys, values and rates made from the input.

    In layer 0 the value is passed on as `first_BTD`; the other layers mix theirs with it (v0, v1, v2).
    """

    def __init__(self, layer: int, width: int, head_size: int, chunk: int, sizes: Sizes) -> None:
        super().__init__()
        self.layer, self.head_size, self.chunk = layer, head_size, chunk
        D, heads = width, width // head_size
        self.x_r, self.x_w, self.x_k = empty(1, 1, D), empty(1, 1, D), empty(1, 1, D)
        self.x_v, self.x_a, self.x_g = empty(1, 1, D), empty(1, 1, D), empty(1, 1, D)
        self.w0, self.w1, self.w2 = empty(1, 1, D), empty(D, sizes.decay), empty(sizes.decay, D)
        self.a0, self.a1, self.a2 = empty(1, 1, D), empty(D, sizes.rate), empty(sizes.rate, D)
        if layer > 0:
            self.v0, self.v1, self.v2 = empty(1, 1, D), empty(D, sizes.value), empty(sizes.value, D)
        self.g1, self.g2 = empty(D, sizes.gate), empty(sizes.gate, D)
        self.k_k, self.k_a, self.r_k = empty(1, 1, D), empty(1, 1, D), empty(heads, head_size)
        self.receptance = nn.Linear(D, D, bias=False)
        self.key = nn.Linear(D, D, bias=False)
        self.value = nn.Linear(D, D, bias=False)
        self.output = nn.Linear(D, D, bias=False)
        self.ln_x = nn.GroupNorm(heads, D, eps=64e-5)

    def forward(
        self, x_BTD: Tensor, first_BTD: Tensor | None, last_BD: Tensor, matrix_BHNN: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns (output [B, T, D], the value of layer 0 [B, T, D], the matrix after the last token)."""
        change_BTD = back(x_BTD, last_BD)
        mixes = (self.x_r, self.x_w, self.x_k, self.x_v, self.x_a, self.x_g)
        xr, xw, xk, xv, xa, xg = (x_BTD + change_BTD * mix for mix in mixes)

        r, k, v = self.receptance(xr), self.key(xk), self.value(xv)
        log_w = -DECAY * torch.sigmoid(self.w0 + torch.tanh(xw @ self.w1) @ self.w2)
        rate = torch.sigmoid(self.a0 + (xa @ self.a1) @ self.a2)
        gate = torch.sigmoid(xg @ self.g1) @ self.g2
        if first_BTD is None:
            first_BTD = v
        else:
            v = v + (first_BTD - v) * torch.sigmoid(self.v0 + (xv @ self.v1) @ self.v2)

        removed = F.normalize(self.heads(k * self.k_k), dim=-1)
        k = k * (1 + (rate - 1) * self.k_a)
        r, log_w, k, v, rate = (self.heads(x) for x in (r, log_w, k, v, rate))
        y, matrix_BHNN = delta_rule(r, log_w, k, v, -removed, removed * rate, matrix_BHNN, self.chunk)
        y = self.ln_x(y.flatten(0, 1).flatten(1)).view_as(r)
        y = y + (r * k * self.r_k).sum(-1, keepdim=True) * v
        return self.output(y.flatten(2) * gate), first_BTD, matrix_BHNN

    def heads(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] → [B, T, H, N]."""
        return x_BTD.view(*x_BTD.shape[:2], -1, self.head_size)


class ChannelMixing(nn.Module):
    """The feedforward part: one squared ReLU layer over each token and its predecessor."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.x_k = empty(1, 1, width)
        self.key = nn.Linear(width, hidden, bias=False)
        self.value = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor, last_BD: Tensor) -> Tensor:
        """Returns the output [B, T, D]."""
        k_BTF: Tensor = self.key(x_BTD + back(x_BTD, last_BD) * self.x_k)
        y_BTD: Tensor = self.value(torch.relu(k_BTF).square())
        return y_BTD


class Block(nn.Module):
    """One layer: time mixing and channel mixing, each normalised before and added to the stream."""

    def __init__(self, layer: int, width: int, head_size: int, chunk: int, sizes: Sizes) -> None:
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(width)
        self.ln1 = nn.LayerNorm(width)
        self.ln2 = nn.LayerNorm(width)
        self.att = TimeMixing(layer, width, head_size, chunk, sizes)
        self.ffn = ChannelMixing(width, sizes.feedforward)

    def forward(self, x_BTD: Tensor, first_BTD: Tensor | None, state: State) -> tuple[Tensor, Tensor, State]:
        """Returns (output [B, T, D], the value of layer 0 [B, T, D], the state of this layer after the last token)."""
        read_BTD = self.ln1(x_BTD)
        mixed_BTD, first_BTD, matrix_BHNN = self.att(read_BTD, first_BTD, state["att.last"], state["att.matrix"])
        x_BTD = x_BTD + mixed_BTD
        fed_BTD = self.ln2(x_BTD)
        after = {"att.last": read_BTD[:, -1].clone(), "att.matrix": matrix_BHNN, "ffn.last": fed_BTD[:, -1].clone()}
        return x_BTD + self.ffn(fed_BTD, state["ffn.last"]), first_BTD, after
