"""The loss of the network itself on the target and its end: next-token cross-entropy, or a bound on it."""

from torch import Tensor

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Objective
from resonance.networks.network import Output


class Lm(Objective):
    """Mean over the target of −log p(token | what stands before it), in nats; of masked diffusion, of its bound."""

    autonomous = True

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`."""
        return batch.loss(output)
