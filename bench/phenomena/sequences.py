"""Networks on plain rows of tokens, without the study's texts around them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer

from resonance import params
from resonance.networks.network import Network
from resonance.networks.transformer import Transformer


def transformer(vocabulary: int, width: int, layers: int, heads: int, seed: int = 0) -> Transformer:
    """A fresh transformer with a feed-forward block twice as wide as the network."""
    settings = params.Transformer(width=width, layers=layers, heads=heads, feedforward=2 * width)
    return Transformer(settings, vocabulary, draws(seed))


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def adamw(network: Network, lr: float, weight_decay: float = 0.0, b2: float = 0.98) -> Optimizer:
    return AdamW(network.parameters(), lr=lr, betas=(0.9, b2), weight_decay=weight_decay, fused=True)


def nll(network: Network, tokens_BT: Tensor) -> Tensor:
    """-log p of every token but the first, in nats: [B, T - 1]."""
    logits_BTV = network(tokens_BT[:, :-1]).logits_BTV
    targets_BT = tokens_BT[:, 1:]
    return cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none").view_as(targets_BT)


def step(optimizer: Optimizer, loss: Tensor, parameters: list[Tensor] | None = None, clip: float = 1.0) -> None:
    """One step down the loss; with `parameters`, their gradient is first cut to norm `clip`."""
    loss.backward()
    if parameters is not None:
        torch.nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    optimizer.zero_grad()
