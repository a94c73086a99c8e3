"""Fake quantisation: matrices rounded to four or eight levels per group, with gradients that pass straight through.

A group is a run of neighbouring weights of one row (of one output) that share their levels; where its length does not
divide the row, the last group of a row is shorter. Source: BitDistiller (arXiv 2402.10631, section 3.1).
Shape suffixes: O outputs, I inputs, G groups of a row, W weights of a group, N tokens.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Format = Literal["int2", "int3", "nf3"]

LEVELS = (
    *(-1.0, -0.5350227355957031, -0.246931403875351, 0.0),
    *(0.1833375245332718, 0.3819939494132996, 0.6229856610298157, 1.0),
)
"""NormalFloat of three bits: quantiles of N(0, 1), three below 0 and four above, each side scaled to end at one."""

EDGES = tuple((below + above) / 2 for below, above in pairwise(LEVELS))
"""Where two levels are equally far; the edge itself belongs to the upper one."""

LEAST = 1e-5
"""The least width of the range that even levels cover."""

SHARES = tuple(1 - step / 20 for step in range(10))
"""Of the largest and of the least weight of a group: where the search for its clipping looks, 1.0 down to 0.55."""


def quantised(weight_OI: Tensor, format: Format, group: int) -> Tensor:
    """The same matrix, each weight at one of the levels of its group; computed in float32 at least.

    Gradients reach the weights as if nothing were rounded, and through the scale of their group its largest and least
    weight.
    """
    precise_OGW = grouped(weight_OI.to(torch.promote_types(weight_OI.dtype, torch.float32)), group)
    return ungrouped(_quantised(precise_OGW, format), weight_OI.shape[1]).to(weight_OI.dtype)


def grouped(rows_RI: Tensor, group: int) -> Tensor:
    """[R, I] → [R, G, W]. The last group is filled up with zeros, which change no level: each group has 0 among its."""
    inputs = rows_RI.shape[1]
    width = min(group, inputs)
    return pad(rows_RI, (0, -inputs % width)).unflatten(1, (-1, width))


def ungrouped(rows_RGW: Tensor, inputs: int) -> Tensor:
    """The inverse of `grouped`."""
    return rows_RGW.flatten(1)[:, :inputs]


def _quantised(weight_OGW: Tensor, format: Format) -> Tensor:
    high_OG1 = weight_OGW.amax(-1, keepdim=True).clamp(min=0)
    low_OG1 = weight_OGW.amin(-1, keepdim=True).clamp(max=0)
    if format == "nf3":
        return _normal(weight_OGW, low_OG1, high_OG1)
    return _even(weight_OGW, low_OG1, high_OG1, 2 ** int(format[-1]) - 1)


def _even(weight: Tensor, low: Tensor, high: Tensor, steps: int) -> Tensor:
    """Levels (k - z) s for k = 0 ... steps, with s = (high - low) / steps and the whole number z = -low / s.

    low <= 0 <= high: of weights of one sign the range reaches to 0, else z would lie outside 0 ... steps.
    """
    scale = (high - low).clamp(min=LEAST) / steps
    zero = -(low / scale).round()
    return ((nearest(weight / scale) + zero).clamp(0, steps) - zero) * scale


def _normal(weight: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """NormalFloat: weights from 0 up are scaled by the largest one, those below 0 by the least one.

    A scale of 0 is one of zeros alone, which stay what they are. Sums and products stand in the place of `where` and
    `bucketize`, which take ten times as long on a CPU.
    """
    upper = (weight >= 0).to(weight.dtype)
    scale = torch.where(high == 0, 1, high) * upper - torch.where(low == 0, -1, low) * (1 - upper)
    share = weight / scale
    index = torch.zeros_like(share, dtype=torch.int32)
    for edge in EDGES:
        index = index + (share >= edge)
    level = share.new_tensor(LEVELS).index_select(0, index.flatten()).view_as(share)
    return straight_through(level, share) * scale


def nearest(x: Tensor) -> Tensor:
    """The nearest whole number, halves away from 0, with the gradient of x itself."""
    return straight_through(x.sign() * (x.abs() + 0.5).floor(), x)


def straight_through(value: Tensor, x: Tensor) -> Tensor:
    """`value`, bit for bit, with the gradient of x."""
    return value.detach() + (x - x.detach())


def moments(inputs_NI: Tensor, group: int) -> Tensor:
    """Σ x xᵀ of the inputs of each group, float64 [G, W, W]: all that the search for a clipping asks of them."""
    inputs_GNW = grouped(inputs_NI.double(), group).transpose(0, 1)
    return inputs_GNW.mT @ inputs_GNW


@torch.no_grad()
def clipped(weight_OI: Tensor, moment_GWW: Tensor, format: Format, group: int) -> Tensor:
    """The matrix with the largest and the least weights of every group cut off where that helps its quantised form.

    For each group the shares a, b of `SHARES` are searched that make ‖X (Q(clip(w, a min, b max)) - w)ᵀ‖² least, with X
    the inputs of that group alone, of which `moments` knows enough. Nothing is cut off where nothing is gained.
    """
    weight_OGW = grouped(weight_OI.to(torch.promote_types(weight_OI.dtype, torch.float32)), group)
    high_OG1, low_OG1 = weight_OGW.amax(-1, keepdim=True), weight_OGW.amin(-1, keepdim=True)
    best_OGW, least_OG1 = weight_OGW, torch.full_like(high_OG1, torch.inf, dtype=torch.float64)
    for up, down in product(SHARES, SHARES):
        tried_OGW = weight_OGW.clamp(low_OG1 * down, high_OG1 * up)
        error_OG1 = error(_quantised(tried_OGW, format) - weight_OGW, moment_GWW)
        better_OG1 = error_OG1 < least_OG1
        best_OGW = torch.where(better_OG1, tried_OGW, best_OGW)
        least_OG1 = torch.where(better_OG1, error_OG1, least_OG1)
    return ungrouped(best_OGW, weight_OI.shape[1]).to(weight_OI.dtype)


def error(change_OGW: Tensor, moment_GWW: Tensor) -> Tensor:
    """‖X dᵀ‖² of a change d of the weights of each group, float64 [O, G, 1]."""
    change_GOW = change_OGW.double().transpose(0, 1)
    return ((change_GOW @ moment_GWW) * change_GOW).sum(-1, keepdim=True).transpose(0, 1)
