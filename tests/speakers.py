"""Tiny learners that have something to say: their predictions are far from even."""

from __future__ import annotations

import torch
from conftest import tiny

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner

VOCABULARY = 40


def awake(name: str, strength: float = 0.15, **changes: object) -> Learner:
    """One of the learners of `conftest`, its weights moved at random, with that standard deviation."""
    made = Learner(tiny(name, **changes), VOCABULARY, seed=0, base=None)
    noise = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=strength)
    return made


def example(seed: int = 0, length: int = 24, direction: str = "1>2") -> Batch:
    """Random tokens: 10 of a prompt, the rest of a target; the last one is [EOS]."""
    tokens_BT = torch.randint(2, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(seed))
    return Batch(tokens_BT, 10, direction, 0, input=slice(1, 9))
