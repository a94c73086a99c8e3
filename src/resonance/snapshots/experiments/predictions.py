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
        outputs = learner.read_together(together, learner.scope.edit(together[0].prompt))
        for batch, output in zip(together, outputs, strict=True):
            yield batch.predictions(output.logits_BTV)[0].float().log_softmax(-1)
        row += len(together)
