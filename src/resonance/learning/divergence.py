"""How far one prediction is from another: the terms that all distillation shares, in nats per token.

Scores [..., V] become distributions in float32 at least, whatever precision they come in. A mean is over all tokens,
each counted once, or with what it weighs in the loss (`weight`, as `Output.weight_BN`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def precise(logits: Tensor) -> Tensor:
    """The same in float32 at least."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def log_softened(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(z / T), [..., V]."""
    return (precise(logits) / temperature).log_softmax(-1)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) = Σ p (log p − log q) of each token, [...]. Gradients reach both; where p is 0 a token adds nothing."""
    p = log_p.exp()
    return (p * (log_p - log_q).masked_fill(p == 0, 0.0)).sum(-1)


def kl(
    teacher_logits: Tensor, student_logits: Tensor, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """T² · mean over tokens of KL(softmax(teacher / T) ‖ softmax(student / T)); a teacher gets no gradient.

    T² keeps the gradient of the student at the size that it has at T = 1 (Hinton et al., arXiv 1503.02531).
    """
    log_p = log_softened(teacher_logits.detach(), temperature)
    return temperature**2 * mean(divergence(log_p, log_softened(student_logits, temperature)), weight)


def soft_cross_entropy(target: Tensor, logits: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over tokens of −Σ target · log softmax(z); target [..., V] are probabilities."""
    return mean(-(target * log_softened(logits)).sum(-1), weight)


def mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over all tokens, of what each weighs where `weight` is given."""
    return (values if weight is None else values * weight).mean()


def ramp(cycle: int, length: int) -> float:
    """exp(−5 (1 − min(c, R) / R)²): the share of its weight that a term has in cycle c; 1 where R is 0."""
    return math.exp(-5.0 * (1.0 - min(cycle, length) / length) ** 2) if length else 1.0
