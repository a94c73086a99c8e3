"""What a learner predicts of many targets at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner

ROWS = 8
"""Sequences in one pass."""


def predictions(learner: Learner, asked: Sequence[Batch]) -> Iterator[Tensor]:
    """log p of every token at each target place, [N, V], per question, in their order.

    Questions that follow each other with prompts of one length are read together, filled up at their ends, by networks
    in which no place sees a later one.
    """
    if learner.memory.keeps or not learner.network.causal:
        yield from (learner.answer(batch).log_p_NV for batch in asked)
        return
    row = 0
    while row < len(asked):
        together = [asked[row]]
        while row + len(together) < len(asked) and len(together) < ROWS:
            if asked[row + len(together)].prompt != together[0].prompt:
                break
            together.append(asked[row + len(together)])
        yield from _read(learner, together)
        row += len(together)


def _read(learner: Learner, asked: Sequence[Batch]) -> Iterator[Tensor]:
    lengths = [batch.tokens_BT.shape[1] for batch in asked]
    tokens_BT = asked[0].tokens_BT.new_zeros(len(asked), max(lengths))
    for row, batch in enumerate(asked):
        tokens_BT[row, : lengths[row]] = batch.tokens_BT[0]
    prompt = asked[0].prompt
    with learner.autocast():
        logits_BTV = learner.network(tokens_BT, edit=learner.scope.edit(prompt)).logits_BTV
    for row, length in enumerate(lengths):
        yield logits_BTV[row, prompt - 1 : length - 1].float().log_softmax(-1)
