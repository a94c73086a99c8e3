"""What reads a learner's hidden states without changing them."""

from __future__ import annotations

from torch import Tensor, nn

from resonance.learning.batch import Batch
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials
from resonance.learning.part import Part
from resonance.networks.network import Output
from resonance.params import Member


class Head(Part):
    """Base class of all heads. A member is one file under `heads/` with one subclass, named like its settings.

    A head has its own optimizer and is given an output that is cut off from the network's graph.
    """

    def __init__(self, settings: Member, materials: Materials) -> None:
        super().__init__()

    def trained(self) -> dict[str, nn.Parameter]:
        """All its parameters."""
        return dict(self.named_parameters())

    def loss(self, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """What the head minimises in one slot, a scalar."""
        raise NotImplementedError
