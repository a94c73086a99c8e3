"""Next-token cross-entropy on the target and its end."""

from torch import Tensor

from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Objective
from resonance.networks.network import Output


class Lm(Objective):
    """Mean over the target of −log p(token | what stands before it), in nats."""

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`."""
        return batch.nll(output.logits_BTV).mean()
