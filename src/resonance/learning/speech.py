"""What a learner says after several prompts at once: greedily, or by drawing from its distribution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.memory import until_end
from resonance.networks.network import Network, Output


@torch.no_grad()
def spoken(
    learner: Learner, read_BT: Tensor, prompt: int, length: int, drawn_B: Tensor, draws: torch.Generator
) -> Tensor:
    """The next `length` tokens after several sequences of one length, int64 [B, length].

    read_BT: prompts and, where some of the answer was given before, that too. prompt: tokens before the answer.
    drawn_B: bool, which rows are drawn, token by token, from what the network predicts; the others are greedy.
    Every row is read with what the learner's memory puts before it.
    """
    memory, carried = learner.memory, learner.carried
    lead_1C, state = memory.lead(carried), memory.state(carried)
    rows = len(read_BT)
    if lead_1C is not None:
        read_BT = torch.cat([lead_1C.expand(rows, -1), read_BT], dim=1)
    if state is not None:
        state = {name: torch.cat([tensor] * rows) for name, tensor in state.items()}
    by_chance = drawing(learner.network, drawn_B.to(read_BT.device), draws) if drawn_B.any() else nullcontext()
    with learner.autocast(), by_chance:
        return learner.network.generate(
            read_BT, length, state=state, edit=learner.scope.edit(prompt), following=learner.scope.following()
        )


@contextmanager
def drawing(network: Network, drawn_B: Tensor, draws: torch.Generator) -> Iterator[None]:
    """As long as this is open, the greatest score of the last place is a draw from its distribution in the rows drawn.

    Gumbel noise is added to the scores: argmax(log p + g) has the distribution p, with g = -log(-log(u)), u uniform, in
    float64 because uniform numbers in float32 have no tails. Generation takes the argmax of what is scored last: of the
    network where it has a state, else of the transformers model in it, whose memory of the past the network hides.
    """
    scorer = network if network.recurrent else cast(nn.Module, network.model)

    def noisy(_module: nn.Module, _inputs: Any, scored: Any) -> Output | Any:
        logits_BTV = scored.logits_BTV if isinstance(scored, Output) else scored.logits
        last_B1V = logits_BTV[:, -1:].double()
        uniform_B1V = torch.rand(last_B1V.shape, generator=draws, device=draws.device, dtype=torch.float64)
        noise_B1V = -(-uniform_B1V.to(last_B1V.device).log()).log()
        last_B1V = torch.where(drawn_B[:, None, None], last_B1V + noise_B1V, last_B1V)
        if isinstance(scored, Output):
            return Output(scored.hidden, last_B1V, scored.state)
        scored.logits = last_B1V
        return scored

    hook = scorer.register_forward_hook(noisy)
    try:
        yield
    finally:
        hook.remove()


def over(batch: Batch, said_1N: Tensor) -> bool:
    """Whether [EOS] was said."""
    return _before_end(batch, said_1N) < said_1N.shape[1]


def ended(batch: Batch, said_1N: Tensor) -> Tensor:
    """What was said up to its first [EOS], that included, or all [1, n]."""
    return said_1N[:, : _before_end(batch, said_1N) + batch.end]


def _before_end(batch: Batch, said_1N: Tensor) -> int:
    """Tokens before the first [EOS], or all."""
    return until_end(said_1N, batch.target_BT[:, -batch.end :]).shape[1]
