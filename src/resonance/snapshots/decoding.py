"""Marks → how well a network that fills masks writes a target, by the number of steps in which it fills them.

A text that is filled in one step is one in which no token knows of the others; in many steps each is chosen with those
before it in sight. The difference is what distillation through time is to do away with; see docs/learning/sdtt.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

import torch
from torch import Generator, Tensor

from resonance.learning.learner import Learner
from resonance.learning.moment import generator
from resonance.networks.masked_diffusion import filled, filling_order
from resonance.networks.network import Edit
from resonance.snapshots.conditions import Question
from resonance.text.tokenizer import Tokenizer

MOST = 64
"""Steps beyond which nothing is asked: 1, 2, 4, ... up to this, or to the number of target tokens."""

DRAWS = 1
"""Random texts per number of steps, beside the greedy one. In up to 64 steps, each takes 127 passes in all."""

SEED = 0
"""Of the order of filling and of the random texts: the same for every learner, mark and run, so that they compare."""


class Filler(Protocol):
    """What a network that fills masks has beside `Network`."""

    mask: int

    def denoised(self, shown_BT: Tensor, prompt: int, edit: Edit | None = None) -> Tensor:
        """log p(x_0 | x_t) of the tokens after `prompt`, [B, N, V]."""

    def sample(self, prompt_BT: Tensor, length: int, steps: int, draws: Generator, edit: Edit | None = None) -> Tensor:
        """A random text of `length` tokens after each prompt, in `steps` ancestral steps."""


@torch.no_grad()
def decodings(learner: Learner, question: Question, cycle: int, tokenizer: Tokenizer) -> Iterator[dict[str, Any]]:
    """Rows of generations: the whole target of a clean question about the first window, written again and again.

    None for a causal network, which has only one number of steps.
    """
    if learner.network.causal or question.batch.condition != "clean" or question.batch.window:
        return
    batch = learner.memory.shown(question.batch, learner.carried)
    target_N = batch.target_BT[0]
    lead_BC = learner.memory.lead(learner.carried)
    prompt_BT = batch.tokens_BT[:, : batch.prompt]
    prompt_BT = prompt_BT if lead_BC is None else torch.cat([lead_BC, prompt_BT], dim=1)
    network, edit = cast(Filler, learner.network), learner.scope.edit(batch.prompt)
    for steps in step_numbers(len(target_N)):
        draws = generator(SEED, "decoding", batch.direction, steps)
        with learner.autocast():
            greedy_BN = greedy(network, prompt_BT, len(target_N), steps, edit)
            random_BN = network.sample(prompt_BT.expand(DRAWS, -1), len(target_N), steps, draws, edit)
        for draw, output_N in zip([None, *range(DRAWS)], torch.cat([greedy_BN, random_BN]), strict=True):
            yield {
                "cycle": cycle,
                "direction": batch.direction,
                "window": batch.window,
                "prefix": 0,
                "output": tokenizer.decode(output_N.cpu().numpy()),
                "reference": tokenizer.decode(target_N.cpu().numpy()),
                "match": match(output_N, target_N),
                "steps": steps,
                "draw": draw,
            }


def step_numbers(tokens: int) -> list[int]:
    """1, 2, 4, ... up to `tokens` or MOST."""
    return [1 << power for power in range(min(tokens, MOST).bit_length())]


def greedy(network: Filler, prompt_BT: Tensor, length: int, steps: int, edit: Edit | None) -> Tensor:
    """As `Mdlm.generate` writes, in any number of steps: each fills places with their most probable tokens, [1, N]."""
    order = filling_order(length, steps, torch.Generator().manual_seed(SEED))

    def denoiser(shown_BN: Tensor, wanted_BN: Tensor) -> Tensor:
        return network.denoised(torch.cat([prompt_BT, shown_BN], dim=1), prompt_BT.shape[1], edit)[wanted_BN]

    masks_BN = prompt_BT.new_full((1, length), network.mask)
    return filled(denoiser, masks_BN, [places.to(prompt_BT.device) for places in order])[0]


def match(output_N: Tensor, reference_N: Tensor) -> float:
    """The share of tokens that stand where the reference has them; 1 where all do."""
    return float((output_N == reference_N).double().mean())
