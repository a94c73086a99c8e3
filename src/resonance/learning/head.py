"""What reads a learner's hidden states without changing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from resonance.learning.batch import Batch
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials
from resonance.learning.part import Part
from resonance.networks.network import Output
from resonance.params import Member

if TYPE_CHECKING:
    from resonance.learning.learner import Learner


class Head(Part):
    """Base class of all heads. A member is one file under `heads/` with one subclass, named like its settings.

    A head has its own optimizer and is given an output that is cut off from the network's graph.
    """

    def __init__(self, settings: Member, materials: Materials) -> None:
        super().__init__()

    def trained(self) -> dict[str, nn.Parameter]:
        """All its parameters."""
        return dict(self.named_parameters())

    every: ClassVar[int] = 0
    """Cycles between two calls of `event`; 0: never. A member may set it from its settings."""

    def loss(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """What the head minimises in one slot, a scalar."""
        raise NotImplementedError

    def event(self, learner: Learner, batches: list[Batch], cycle: int) -> None:
        """Called after every `every`-th cycle, to let the learner say something, for example."""
