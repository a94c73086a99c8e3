"""The rule of TTT-Linear: a linear map per head that is trained, one gradient step per token, while it reads.

    z = k W + b          l = ½ ‖LN(z) − (v − k)‖²          W, b ← W, b − η ∂l        y = q + LN(q W + b)

Tokens are read in blocks, and all gradients of a block are taken at the weights W₀, b₀ that it began with. Token j has
the rate r_j, place i of a block the scale c_i, and after token i of a block

    W_i = W₀ − c_i Σ_{j≤i} r_j k_jᵀ dz_j          b_i = b₀ − c_i Σ_{j≤i} r_j dz_j          y_i = q_i + LN(q_i W_i + b_i)

Two forms of one function: `primal` says it token by token, `dual` computes a block with a few products and never makes
the W_i in between. Source: arXiv 2407.04620, sections 2.1 to 2.7; η_ij = c_i r_j as in the code of its authors.

Shapes: q, k, v and y are [B, H, T, F] with F the head size, rates [B, H, T]. W and b are one tensor, [B, H, F + 1, F],
b its last row: a key that ends with a 1 then reads and changes both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-6
"""Added to the variance in LN."""


class Fast(NamedTuple):
    """Fast weights and what an unfinished block of J tokens has added to them so far.

    weights: [B, H, F + 1, F] at the start of the block. keys: k_j, [B, H, J, F]. steps: r_j dz_j, [B, H, J, F].
    """

    weights: Tensor
    keys: Tensor
    steps: Tensor


@dataclass(frozen=True)
class Rule:
    """What is learned slowly, by back-propagation.

    scales_C: c_i of the C places of a block. gain_H1F, offset_H1F: of LN, per head.
    """

    scales_C: Tensor
    gain_H1F: Tensor
    offset_H1F: Tensor


def ttt_linear(q: Tensor, k: Tensor, v: Tensor, rates_BHT: Tensor, fast: Fast, rule: Rule) -> tuple[Tensor, Fast]:
    """Returns (y, the fast weights after the last token); for a single token, the definition is the faster form.

    Computed in float32 at least, also under autocast: thousands of small steps would be lost in 8 or 11 bits.
    """
    precise = torch.promote_types(torch.promote_types(q.dtype, fast.weights.dtype), torch.float32)
    form = primal if q.shape[2] == 1 else dual
    with torch.autocast(q.device.type, enabled=False):
        rule = Rule(rule.scales_C.to(precise), rule.gain_H1F.to(precise), rule.offset_H1F.to(precise))
        fast = Fast(*(x.to(precise) for x in fast))
        y, fast = form(q.to(precise), k.to(precise), v.to(precise), rates_BHT.to(precise), fast, rule)
    return y.to(q.dtype), fast


def primal(q: Tensor, k: Tensor, v: Tensor, rates_BHT: Tensor, fast: Fast, rule: Rule) -> tuple[Tensor, Fast]:
    """The definition: returns (y, the fast weights after the last token)."""
    y = []
    for q_t, k_t, v_t, rate_t in zip(*(x.split(1, 2) for x in (q, k, v, rates_BHT)), strict=True):
        z = with_one(k_t) @ fast.weights
        step = rate_t.unsqueeze(-1) * inner_gradient(z, v_t - k_t, rule)
        fast = Fast(fast.weights, torch.cat([fast.keys, k_t], 2), torch.cat([fast.steps, step], 2))
        now = folded(fast, rule)
        y.append(q_t + layer_norm(with_one(q_t) @ now.weights, rule))
        if fast.keys.shape[2] == len(rule.scales_C):
            fast = now
    return torch.cat(y, 2), fast


def dual(q: Tensor, k: Tensor, v: Tensor, rates_BHT: Tensor, fast: Fast, rule: Rule) -> tuple[Tensor, Fast]:
    """The same, block by block: returns (y, the fast weights after the last token).

    With M_ij = c_i (q_i·k_j + 1) for j ≤ i and the rows r_j dz_j of S, a block is

        Z = Q W₀ + b₀ − M S          Y = Q + LN(Z)          W = W₀ − c_C Kᵀ S          b = b₀ − c_C 1ᵀ S

    The tokens of an unfinished block stand before the new ones: their steps are known, and nothing is read for them.
    """
    T, C, J = q.shape[2], len(rule.scales_C), fast.keys.shape[2]
    blocks = math.ceil((J + T) / C)
    after = J + T - (blocks - 1) * C
    start, stop = J, blocks * C - J - T
    k = _blocks(torch.cat([fast.keys, k], 2), 0, stop, C)
    asked = _blocks(q, start, stop, C)
    target = _blocks(v, start, stop, C) - k
    rates = _blocks(rates_BHT.unsqueeze(-1), start, stop, C)

    keys, queries = with_one(k), with_one(asked)
    both = torch.cat([keys, queries], -2)
    seen = rule.scales_C[:, None] * (queries @ keys.mT).tril()
    written = rule.scales_C[-1] * keys.mT
    effects = torch.cat([seen, written], -2)

    weights, steps, read = fast.weights, fast.steps, []
    for number, (both_c, target_c, rates_c, effects_c) in enumerate(
        zip(both.unbind(2), target.unbind(2), rates.unbind(2), effects.unbind(2), strict=True)
    ):
        at_start = weights
        z, y_0 = (both_c @ at_start).split(C, -2)
        steps = rates_c * inner_gradient(z, target_c, rule)
        if number == 0 and J:
            steps = torch.cat([fast.steps, steps[:, :, J:]], 2)
        seen_c, written_c = (effects_c @ steps).split([C, effects_c.shape[-2] - C], -2)
        read.append(y_0 - seen_c)
        weights = at_start - written_c
    y = asked + layer_norm(torch.stack(read, 2), rule)
    y = y.flatten(2, 3)[:, :, J : J + T]
    if after == C:
        return y, Fast(weights, *_none(fast))
    return y, Fast(at_start, k[:, :, -1, :after].clone(), steps[:, :, :after].clone())


def inner_gradient(z: Tensor, target: Tensor, rule: Rule) -> Tensor:
    """dz = ∂/∂z of ½ ‖LN(z) − target‖², for every row of z [..., H, T, F].

    With ẑ = (z − mean) / s and g = (γ ẑ + β − target) γ this is (g − mean(g) − ẑ mean(g ẑ)) / s.
    """
    centred = z - z.mean(-1, keepdim=True)
    inverse = (centred.square().mean(-1, keepdim=True) + EPS).rsqrt()
    scaled = centred * inverse
    g = (rule.gain_H1F * scaled + rule.offset_H1F - target) * rule.gain_H1F
    return (g - g.mean(-1, keepdim=True) - scaled * (g * scaled).mean(-1, keepdim=True)) * inverse


def layer_norm(z: Tensor, rule: Rule) -> Tensor:
    """LN over the last axis of z [B, H, ..., F], with the gain and offset of each head."""
    gain, offset = rule.gain_H1F, rule.offset_H1F
    if z.ndim == 5:
        gain, offset = gain.unsqueeze(1), offset.unsqueeze(1)
    return F.layer_norm(z, z.shape[-1:], eps=EPS) * gain + offset


def folded(fast: Fast, rule: Rule) -> Fast:
    """The fast weights W_i, b_i as they stand after the last token, as the start of a new block."""
    J = fast.keys.shape[2]
    if J == 0:
        return fast
    change = rule.scales_C[J - 1] * (with_one(fast.keys).mT @ fast.steps)
    return Fast(fast.weights - change, *_none(fast))


def with_one(x: Tensor) -> Tensor:
    """[..., F] → [..., F + 1]: the last entry reads b."""
    return F.pad(x, (0, 1), value=1.0)


def _none(fast: Fast) -> tuple[Tensor, Tensor]:
    """Keys and steps of a block that has not begun."""
    B, H, _, width = fast.keys.shape
    return fast.keys.new_zeros(B, H, 0, width), fast.steps.new_zeros(B, H, 0, width)


def _blocks(x: Tensor, start: int, stop: int, size: int) -> Tensor:
    """[B, H, T, F] → [B, H, blocks, size, F], with zeros before and after."""
    return F.pad(x, (0, 0, start, stop)).unflatten(2, (-1, size))
