"""Masked diffusion of texts: how tokens are masked, what the loss is, how masks are filled again. Pure functions.

Time t runs from 0 (the text) to 1 (masks alone); a mask is an id beside the V tokens.
Source: Sahoo et al. 2024, arXiv 2406.07524; formulas in docs/networks/mdlm.md.
Shape suffixes beside those of `network.py`: N target tokens, K sets of masked places, M wanted places of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

EPS = 1e-3
"""A share of 1 - EPS is masked at t = 1 (log-linear schedule); training draws t from (EPS, 1): weights up to 1/EPS."""

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""`denoiser(shown_BN, wanted_BN)`: log p(token) [M, V] at the wanted places (bool), row by row, given what is shown."""


def masked_share(t: Tensor) -> Tensor:
    """m(t), the probability that a token is masked at time t: 1 - e^-sigma(t) = (1 - EPS) t."""
    return (1 - EPS) * t


def weight(t: Tensor) -> Tensor:
    """Of -log p at a masked place in the loss: sigma'(t) / (e^sigma(t) - 1) = m'(t) / m(t) = 1 / t."""
    return 1 / t


def stratified(count: int, draws: Generator) -> Tensor:
    """Numbers in [0, 1), uniform in one part of `count` each, ascending: [count]."""
    device = draws.device
    return (torch.arange(count, device=device) + torch.rand(count, generator=draws, device=device)) / count


def noised(tokens_BN: Tensor, t_B: Tensor, mask: int, draws: Generator) -> Tensor:
    """x_t: each token of row b is masked with probability m(t_b), independently of the others."""
    chance_BN = torch.rand(tokens_BN.shape, generator=draws, device=draws.device).to(tokens_BN.device)
    return tokens_BN.masked_fill(chance_BN < masked_share(t_B).to(tokens_BN.device)[:, None], mask)


def subs(scores_BNV: Tensor, shown_BN: Tensor, mask: int) -> Tensor:
    """log p(x_0 | x_t) [B, N, V] from scores: a visible token is certain (0, elsewhere -inf), a mask is no outcome."""
    masked_BN1 = (shown_BN == mask)[..., None]
    log_p_BNV = log_softmax(scores_BNV)
    certain_BNV = torch.full_like(log_p_BNV, -torch.inf).scatter(-1, shown_BN[..., None].masked_fill(masked_BN1, 0), 0)
    return torch.where(masked_BN1, log_p_BNV, certain_BNV)


def log_softmax(scores: Tensor) -> Tensor:
    """log p over the last dimension, in float32 at least."""
    return scores.log_softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32))


def stays(t: Tensor, s: Tensor) -> Tensor:
    """Probability that a token which is masked at t is still masked at s < t: m(s) / m(t)."""
    return masked_share(s) / masked_share(t)


def drawn(log_p_BNV: Tensor, draws: Generator) -> Tensor:
    """A token from each distribution, [B, N]: of exponential clocks with rates p, the one that rings first.

    In float64, because uniform numbers in float32 have no tails, which acts like a temperature below 1.
    """
    uniform_BNV = torch.rand(log_p_BNV.shape, generator=draws, device=draws.device, dtype=torch.float64)
    return (log_p_BNV.double().exp() / -uniform_BNV.to(log_p_BNV.device).log()).argmax(-1)


def ancestral_step(shown_BN: Tensor, log_p_BNV: Tensor, stays_B: Tensor, mask: int, draws: Generator) -> Tensor:
    """From x_t to x_s: a masked token stays one with probability `stays_B`, else it is drawn from `log_p_BNV`.

    A visible token stays what it is.
    """
    chance_BN = torch.rand(shown_BN.shape, generator=draws, device=draws.device).to(shown_BN.device)
    filled_BN = (shown_BN == mask) & (chance_BN >= stays_B.to(shown_BN.device)[:, None])
    return torch.where(filled_BN, drawn(log_p_BNV, draws), shown_BN)


def masked_sets(count: int, tokens: int, draws: Generator) -> Tensor:
    """`count` random sets of places, bool [K, N], of sizes spread evenly over 1 .. N.

    The bound is the integral over the share m of masks of 1/m times the expected sum of -log p at masked places. Given
    their number k all sets are equally likely, and the integral of 1/m times the chance of k masks is 1/k: so the bound
    is the mean over k, and over sets of k, of N/k times the sum.
    """
    size_K = 1 + (stratified(count, draws) * tokens).long().clamp(max=tokens - 1)
    rank_KN = torch.stack([torch.randperm(tokens, generator=draws, device=draws.device) for _ in range(count)])
    return rank_KN < size_K[:, None]


def bound(denoiser: Denoiser, target_N: Tensor, masked_KN: Tensor, mask: int, batch: int) -> Tensor:
    """Upper bound on -log p(target) in nats, averaged over sets of masked places: the share of each token, [N].

    batch: number of sets that the denoiser is given at once.
    """
    total_N = torch.zeros(len(target_N), device=target_N.device)
    for masked_BN in masked_KN.split(batch):
        target_BN = target_N.expand_as(masked_BN)
        log_p_MV = denoiser(target_BN.masked_fill(masked_BN, mask), masked_BN)
        nll_BN = log_p_MV.new_zeros(masked_BN.shape)
        nll_BN[masked_BN] = -log_p_MV.gather(1, target_BN[masked_BN][:, None])[:, 0]
        total_N = total_N + (nll_BN * len(target_N) / masked_BN.sum(1, keepdim=True)).sum(0)
    return total_N / len(masked_KN)


def filling_order(tokens: int, steps: int, draws: Generator) -> list[Tensor]:
    """The places that each step of the sampler fills, in random order; steps that would fill none are left out.

    Of the ways that ancestral steps at even times can go, one that leaves a share m(s) / m(1) of masks after each.
    """
    step_N = torch.randperm(tokens, generator=draws, device=draws.device) * steps // tokens
    return [(step_N == step).nonzero()[:, 0] for step in step_N.unique()]


def filled(denoiser: Denoiser, shown_BN: Tensor, order: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Fill all places, some at a time, each with its most probable token.

    Returns (tokens [B, N], log p [B, N, V] from which each place was filled).
    """
    log_p = []
    for places in order:
        wanted_BN = torch.zeros_like(shown_BN, dtype=torch.bool).index_fill(1, places, True)
        log_p.append(denoiser(shown_BN, wanted_BN).view(len(shown_BN), len(places), -1))
        shown_BN = shown_BN.index_copy(1, places, log_p[-1].argmax(-1))
    return shown_BN, torch.cat(log_p, dim=1).index_select(1, torch.cat(list(order)).argsort())
