"""Bases: networks that have read some prose, so that a frozen one knows a language to begin with."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW

from resonance import params
from resonance.learning.moment import generator
from resonance.members import implementation
from resonance.networks.network import Network
from resonance.networks.tensors import named, write_sealed
from resonance.storage import read_table
from resonance.text.encoded import encode_corpus
from resonance.text.tokenizer import read_tokenizer
from resonance.text.tokens import Tokens, read_tokens
from resonance.training.device import set_up
from resonance.training.optimizer import clip
from resonance.training.progress import Progress

logger = logging.getLogger(__name__)
WARMUP = 0.05
"""Share of the steps over which the rate rises; it then falls as a cosine to a tenth."""


@dataclass(frozen=True)
class Prose:
    """What a base reads: the corpus, cut by the tokenizer of a pair's tokens."""

    corpus_file: Path
    tokens_file: Path

    @cached_property
    def tokens(self) -> Tokens:
        """The pair whose tokenizer is used."""
        return read_tokens(self.tokens_file)

    def stream(self) -> Tensor:
        """All docstrings, one after the other, each closed by [EOS]: int64 [N]."""
        tokenizer = read_tokenizer(self.tokens_file.with_name("tokenizer.json"))
        texts = read_table(self.corpus_file, columns=["text"])["text"].to_pylist()
        return torch.from_numpy(encode_corpus(texts, tokenizer).astype(np.int64))


def train_base(
    network: params.Member, settings: params.Base, seed: int, compute: params.Compute, prose: Prose, out: Path
) -> None:
    """Train a fresh network on prose and write its weights, as `Network` names them.

    seed: of the weights and of the order of the prose.
    """
    device = set_up(compute)
    tokens = prose.tokens
    build = implementation("resonance.networks", network)
    trained: Network = build(network, tokens.vocabulary, generator(seed, "base")).to(device)
    losses = _train(trained, settings, seed, prose.stream(), tokens.markers["[BOS]"][0], device)
    loss = float(np.mean(losses[-20:])) if losses else None
    logger.info("base ends at %s nat/token", loss)
    write_sealed(out, named(trained), {"kind": "base", "tokenizer": tokens.tokenizer, "loss": loss})


def _train(
    network: Network, settings: params.Base, seed: int, corpus_N: Tensor, begin: int, device: torch.device
) -> list[float]:
    steps = settings.tokens // (settings.batch * settings.length)
    optimizer = AdamW(network.parameters(), lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    progress = Progress("base", 0, steps)
    losses = []
    for step in progress.over(range(steps)):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * rate(step, steps)
        draws = generator(seed, "corpus", step)
        starts_B = torch.randint(len(corpus_N) - settings.length, (settings.batch,), generator=draws)
        tokens_BT = corpus_N[starts_B[:, None] + torch.arange(settings.length)]
        tokens_BT = torch.cat([tokens_BT.new_full((settings.batch, 1), begin), tokens_BT], dim=1).to(device)
        loss = network.nll(tokens_BT, 1, draws).mean()
        loss.backward()
        clip(list(network.parameters()), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        progress.loss = loss.item()
        losses.append(progress.loss)
    return losses


def rate(step: int, steps: int) -> float:
    """Share of the full rate: a linear rise, then a cosine down to a tenth."""
    rise = max(1, round(WARMUP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.55 + 0.45 * math.cos(math.pi * (step - rise) / max(1, steps - rise))
