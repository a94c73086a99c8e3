"""What a learner says under the eyes of its critic: think, act, observe, segment by segment.

The form is that of ReAct (Yao et al. 2023, arXiv 2210.03629), but nothing of it is learned: networks of this size
follow no instructions, so thought, choice of action and observation are a fixed policy with one threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.speech import ended, over, spoken

if TYPE_CHECKING:
    from resonance.learning.learner import Learner

SEGMENT = 16
"""Tokens that are thought about at once."""


class Judge(Protocol):
    """What the controller asks of a critic."""

    def estimates(self, learner: Learner, batch: Batch, said_1N: Tensor) -> tuple[Tensor, Tensor]:
        """(probability that it is wrong, distance of what follows) of each token said after a prompt: [N], [N]."""


def controlled(
    learner: Learner, batch: Batch, own_1N: Tensor, judge: Judge, settings: params.Critic, draws: torch.Generator
) -> Tensor:
    """What is said in the end, int64 [1, n], up to its end or as long as the target.

    The next segment is said greedily (as long as nothing was changed, it is that of `own_1N`, the greedy output).
    Thought: its score, the mean probability that a token of it is wrong. Action, as long as the score is above the
    threshold, at most `attempts` times: first the input is read again and the segment said greedily after it; then it
    is drawn. Observation: the score of the new version, in the place of the old one behind the ordinary prompt. The
    version with the least score is kept, and the next segment follows it. So it goes with the whole: where the critic
    finds it no better than `own_1N`, that one stands.
    """

    def score(said_1N: Tensor, start: int = 0) -> float:
        return float(judge.estimates(learner, batch, said_1N)[0][start:].mean())

    said_1N = own_1N[:, :0]
    while not over(batch, said_1N) and (left := batch.target_BT.shape[1] - said_1N.shape[1]):
        start, length = said_1N.shape[1], min(SEGMENT, left)
        if torch.equal(said_1N, own_1N[:, :start]):
            best_1N = own_1N[:, : start + length]
        else:
            best_1N = continued(learner, batch, batch, said_1N, length, draws)
        least = score(best_1N, start)
        for attempt in range(settings.attempts):
            if least <= settings.threshold:
                break
            again = reread(learner, batch, said_1N, length) if attempt == 0 else None
            tried_1N = continued(learner, batch, again or batch, said_1N, length, draws, drawn=again is None)
            observed = score(tried_1N, start)
            if observed < least:
                best_1N, least = tried_1N, observed
        said_1N = best_1N
    return said_1N if score(said_1N) < score(own_1N) else own_1N


def continued(
    learner: Learner,
    batch: Batch,
    read: Batch,
    said_1N: Tensor,
    length: int,
    draws: torch.Generator,
    drawn: bool = False,
) -> Tensor:
    """What was said so far and, after the prompt of `read`, up to `length` tokens more [1, n]."""
    read_BT = torch.cat([read.tokens_BT[:, : read.prompt], said_1N], dim=1)
    more_1N = spoken(learner, read_BT, read.prompt, length, torch.tensor([drawn]), draws)
    return ended(batch, torch.cat([said_1N, more_1N], dim=1))


def reread(learner: Learner, batch: Batch, said_1N: Tensor, length: int) -> Batch | None:
    """`[BOS] INPUT INPUT [DIR]`: a recurrent network reads the input into its state again, others see it twice.

    None where a network has not enough positions for that.
    """
    assert batch.input is not None
    input_1T = batch.tokens_BT[:, batch.input]
    again = batch.asked(torch.cat([input_1T, input_1T], dim=1))
    longest = getattr(learner.network, "longest", None)
    return again if longest is None or again.prompt + said_1N.shape[1] + length <= longest else None
