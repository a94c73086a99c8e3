"""What a learner minimises: a weighted sum of terms over one shared forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from resonance.learning.batch import Batch
from resonance.learning.moment import Moment
from resonance.learning.part import Part
from resonance.networks.network import Network, Output
from resonance.params import Member

if TYPE_CHECKING:
    from resonance.learning.learner import Learner
    from resonance.text.tokens import Tokens


@dataclass(frozen=True)
class Materials:
    """What an objective or a head may be built from.

    new_network: makes another network, `new_network(fresh, settings)`: from the base of the learner's own or, given a
        generator, from fresh weights; like the learner's own unless it is given other settings (fresh ones only).
    tokens: the pair, where the learner was told of one.
    """

    network: Network
    vocabulary: int
    seed: int
    new_network: Callable[..., Network]
    tokens: Tokens | None = None


class Objective(Part):
    """Base class of all terms. A member is one file under `objectives/` with one subclass, named like its settings."""

    every: int = 0
    """Cycles between two calls of `event`; 0: never. A member may set it from its settings."""

    autonomous: bool = False
    """True where a term depends on what is read and carried alone: not on draws, the cycle, or anything that the member
    keeps and changes. Only then can a run be known to repeat itself."""

    def __init__(self, settings: Member, materials: Materials) -> None:
        super().__init__()
        self.weight: float = getattr(settings, "weight", 0.0)
        """Factor of the term; 0 for a member that adds nothing to the sum."""

    def begins(self, learner: Learner, cycle: int) -> bool:
        """Called before every cycle; True where it set the learner back to a fresh start, so its optimizer forgets."""
        return False

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """The term of one slot, a scalar, before its weight."""
        raise NotImplementedError

    def measured(self) -> dict[str, Tensor]:
        """What the log shall hold of the last term beside its value: scalars, always the same names."""
        return {}

    def answering(self) -> dict[str, Tensor]:
        """What stands in a mark in the place of tensors in training, under their names in `Learner.marked`."""
        return {}

    def after_step(self, learner: Learner, batch: Batch, moment: Moment) -> None:
        """Called after every optimizer step: for teachers, peers and memories."""

    def event(self, learner: Learner, batches: list[Batch], cycle: int) -> None:
        """Called after every `every`-th cycle."""
