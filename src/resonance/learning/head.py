"""What reads a learner's hidden states without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resonance.learning.batch import Batch
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials
from resonance.learning.part import Part
from resonance.networks.network import Output
from resonance.params import Member

if TYPE_CHECKING:
    from resonance.learning.learner import Learner


@dataclass(frozen=True)
class Critique:
    """What a head thinks of something that its learner said, token by token. N tokens were said.

    source: how they came about: `own` (greedily), `sample`, `controlled`, or the condition of what was asked.
    asked: the prompt, with the true target, of which the head was not told.
    said_N: int64; estimate_N: probability that each of these tokens is wrong.
    distance_N: estimate of how far the rest will be from the rest of the original (`deviation.Deviation.suffix_N`);
        None where a head has no such estimate.
    """

    source: str
    asked: Batch
    said_N: Tensor
    estimate_N: Tensor
    distance_N: Tensor | None = None


class Head(Part):
    """Base class of all heads. A member is one file under `heads/` with one subclass, named like its settings.

    A head has its own optimizer and is given an output that is cut off from the network's graph.
    """

    def __init__(self, settings: Member, materials: Materials) -> None:
        super().__init__()

    def trained(self) -> dict[str, nn.Parameter]:
        """All its parameters."""
        return dict(self.named_parameters())

    every: int = 0
    """Cycles between two calls of `event`; 0: never. A member may set it from its settings."""

    def loss(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """What the head minimises in one slot, a scalar."""
        raise NotImplementedError

    def event(self, learner: Learner, batches: list[Batch], cycle: int) -> None:
        """Called after every `every`-th cycle, to let the learner say something, for example."""

    def examine(self, learner: Learner, asked: Sequence[Batch], draws: torch.Generator) -> list[Critique]:
        """At a mark: let the learner say something and judge it. Nothing is trained; none where a head cannot judge.

        asked: prompts of one direction and window, all of one length: first the one of training, condition `clean`,
            then the same with corrupted inputs, condition `corrupted:<kind>`; each with the true target.
        draws: the only source of random numbers.
        """
        return []
