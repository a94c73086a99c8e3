"""Induction: what stood behind a token last time is expected behind it again; that needs two layers."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from phenomena.phenomenon import Found, Measures, Phenomenon, above, below, near, told
from phenomena.sequences import adamw, draws, nll, step, transformer
from resonance.networks.transformer import Transformer

VOCABULARY, HALF = 64, 32
EVERY = 10
"""Steps over which the curve is averaged."""
FALLING = 0.25
"""An abrupt drop: most of the fall, from 90 % to 10 % of it, takes less than this share of all steps until then."""


class Learned(NamedTuple):
    """network: as it was when it was stopped. curve: (step, nat/token of the second half), means of EVERY steps."""

    network: Transformer
    curve: list[tuple[int, float]]


def run(steps: int = 900, batch: int = 32, width: int = 64, enough: float = 0.1) -> Measures:
    """Fresh rows of 32 random tokens, written twice, for a network of two layers and for one of one layer."""
    two = learn(2, steps, batch, width, enough)
    one = learn(1, two.curve[-1][0], batch, width, 0.0)
    first, second = halves(two.network)
    alone = halves(one.network)[1]
    return {
        "first half, two layers": near(first, math.log(VOCABULARY), 0.1, " nat/token"),
        "second half, two layers": below(second, 0.2, " nat/token"),
        "second half, one layer, as many steps": Found(
            expected="> 1 nat/token more", measured=alone, holds=alone > second + 1
        ),
        "steps of the fall from 90 to 10 %, as a share of all until then": below(falling(two.curve), FALLING),
        "prefix-matching score of the best head": above(max(prefix_matching(two.network)), 0.5),
        "the same, one layer": told(max(prefix_matching(one.network))),
        "steps taken": told(two.curve[-1][0]),
    }


def rows(batch: int, generator: torch.Generator) -> Tensor:
    """[batch, 2 · HALF]"""
    half = torch.randint(VOCABULARY, (batch, HALF), generator=generator)
    return torch.cat([half, half], dim=1)


def learn(layers: int, steps: int, batch: int, width: int, enough: float) -> Learned:
    """Trained until the second half costs less than `enough`, or for all steps."""
    network, drawn = transformer(VOCABULARY, width, layers, 4), draws(1)
    optimizer = adamw(network, 3e-3)
    curve: list[tuple[int, float]] = []
    recent: list[float] = []
    for now in range(1, steps + 1):
        nll_BT = nll(network, rows(batch, drawn))
        step(optimizer, nll_BT.mean(), list(network.parameters()))
        recent.append(float(nll_BT[:, HALF:].detach().mean()))
        if now % EVERY == 0:
            curve.append((now, sum(recent) / len(recent)))
            recent = []
            if curve[-1][1] < enough:
                break
    return Learned(network, curve)


@torch.no_grad()
def halves(network: Transformer, batch: int = 64) -> tuple[float, float]:
    """nat/token of the first half (without its first token) and of the second, without its first token too.

    That one cannot be told from what came before it: nothing says where a half begins.
    """
    nll_BT = nll(network, rows(batch, draws(2)))
    return float(nll_BT[:, : HALF - 1].mean()), float(nll_BT[:, HALF:].mean())


def falling(curve: list[tuple[int, float]]) -> float:
    """Steps between 90 % and 10 % of the fall of the curve, over the steps until then."""
    top, bottom = curve[0][1], min(value for _, value in curve)

    def reached(share: float) -> int:
        return next(now for now, value in curve if value <= bottom + share * (top - bottom))

    return (reached(0.1) - reached(0.9)) / reached(0.1)


@torch.no_grad()
def prefix_matching(network: Transformer, batch: int = 32) -> list[float]:
    """Of every head: attention of the second half to the token behind the previous occurrence, mean over places."""
    model = network.model
    model.set_attn_implementation("eager")
    try:
        found = model(input_ids=rows(batch, draws(3)), output_attentions=True, use_cache=False).attentions
    finally:
        model.set_attn_implementation("sdpa")
    places = torch.arange(HALF, 2 * HALF)
    return [float(head_BTT[:, places, places - HALF + 1].mean()) for layer in found for head_BTT in layer.unbind(1)]


PHENOMENON = Phenomenon(
    title="Induction",
    source="Olsson et al. 2022, arXiv 2209.11895; ln 64 for the first half is derived",
    checked=(
        "Read: summaries of the paper, not the paper itself: sudden forming of the heads, prefix-matching score, "
        "two layers. The bars (0.2 nat, 0.5, a quarter of the steps) are this project's own."
    ),
    setup=(
        "Fresh rows of 32 uniform tokens out of 64, written twice, batch 32, transformers of width 64 with rotary "
        "positions, AdamW at 0.003. The two-layer one is stopped below 0.1 nat, the one-layer one has as many "
        "steps. The score of a head is its attention from the second half to the token behind the previous "
        "occurrence."
    ),
    holds=(
        "The network can learn to copy from its context, suddenly, and the instrument sees it come and in which "
        "head. If the study's learners recite instead of copying, that is not for want of ability."
    ),
    fails=(
        "Where the second half is known and a head has the score, the skill is there, and the study's learners "
        "could copy. The drop counts as abrupt if it takes at most a quarter of the steps until then, and at this "
        "rate there are so few steps in all that it can be a larger part of them. One layer need not be helpless: "
        "all copies lie at the same distance, which rotary positions can point at without a second layer."
    ),
    run=run,
)
