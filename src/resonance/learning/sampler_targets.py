"""What a masked-diffusion teacher says of each masked token while its sampler takes a few steps. Pure functions.

Source: Deschenaux and Gulcehre 2024, arXiv 2410.21035 (self-distillation through time); see docs/learning/sdtt.md.
Shape suffixes beside those of `network.py`: N target tokens, I steps of the sampler.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from resonance.networks.masked_diffusion import ancestral_step, stays

LEAST = 1e-5
"""The earliest time at which a step may start: at 0 nothing is masked."""

Denoiser = Callable[[Tensor], Tensor]
"""`denoiser(shown_BN)`: log p(x_0 | x_t), [B, N, V]."""


def sub_steps(t_B: Tensor, dt: float, count: int, quirk: bool = False) -> tuple[Tensor, Tensor]:
    """Where `count` steps of length dt from t start and end: (t_IB, s_IB). None ends below 0.

    Step i goes from t - i dt to t - (i + 1) dt. quirk: from t u + (1 - t)(t - count dt) with u falling from 1 to 0, as
    the published code has it, and then dt further.
    """
    if quirk:
        share_I1 = torch.linspace(1, 0, count, dtype=t_B.dtype, device=t_B.device)[:, None]
        t_IB = t_B * share_I1 + (1 - t_B) * (t_B - count * dt)
    else:
        t_IB = t_B - dt * torch.arange(count, dtype=t_B.dtype, device=t_B.device)[:, None]
    t_IB = t_IB.clamp(min=LEAST)
    return t_IB, (t_IB - dt).clamp(min=0)


def sampler_targets(
    shown_BN: Tensor,
    t_B: Tensor,
    dt: float,
    count: int,
    denoiser: Denoiser,
    mask: int,
    draws: Generator,
    quirk: bool = False,
) -> Tensor:
    """log p of each token that is masked in x_t, [B, N, V], from `count` ancestral steps of the teacher.

    A token that a step fills: what the teacher said of it before that step; one that is still masked at the end: what
    it said before the last. 0 where a token was visible.
    """
    target_BNV = torch.zeros((), device=shown_BN.device)
    for stays_B in stays(*sub_steps(t_B, dt, count, quirk)):
        log_p_BNV = denoiser(shown_BN)
        after_BN = ancestral_step(shown_BN, log_p_BNV, stays_B, mask, draws)
        open_BN = shown_BN == mask
        # what is filled later is overwritten then
        target_BNV = torch.where(open_BN[..., None], log_p_BNV, target_BNV)
        shown_BN = after_BN
    return target_BNV
