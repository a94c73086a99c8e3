"""The learner's optimizer: stepped with a rate that depends on the absolute cycle alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from resonance import params


def new_optimizer(settings: params.Adamw | params.Sgd, parameters: Iterable[nn.Parameter]) -> Optimizer | None:
    """The optimizer that the settings name; None where there is nothing to train."""
    trained = list(parameters)
    if not trained:
        return None
    if isinstance(settings, params.Adamw):
        return AdamW(
            trained,
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            fused=True,
        )
    return SGD(trained, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


def set_rate(optimizer: Optimizer, settings: params.Adamw | params.Sgd, cycle: int) -> None:
    """lr · min(1, cycle / warmup): a function of the absolute cycle, never of the length of the study."""
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * min(1.0, cycle / settings.warmup) if settings.warmup else settings.lr


def clip(parameters: list[nn.Parameter], largest: float | None) -> Tensor:
    """Scale the gradients down to norm `largest` where they exceed it; returns the norm found."""
    return nn.utils.clip_grad_norm_(parameters, torch.inf if largest is None else largest)
