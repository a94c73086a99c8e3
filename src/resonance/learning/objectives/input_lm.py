"""Next-token cross-entropy on the input text: where one direction is shown alone, the other text is learned too."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.divergence import precise
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.networks.network import Output


class InputLm(Objective):
    """See `params.InputLm`. Mean over the tokens of INPUT of −log p(token | what stands before it), in nats.

    The separator behind INPUT is not among them. A first token that nothing stands before is not asked for.
    """

    autonomous = True

    def __init__(self, settings: params.InputLm, materials: Materials) -> None:
        super().__init__(settings, materials)
        if not materials.network.causal:
            raise UserError(
                "objective.input-lm: a network that fills masks is shown the input whole, and predicts none of it: set "
                "network to a causal one."
            )

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`."""
        if batch.input is None:
            raise ValueError("the batch does not say where its input stands")
        first, stop = max(batch.input.start, 1), batch.input.stop
        return cross_entropy(precise(output.logits_BTV[0, first - 1 : stop - 1]), batch.tokens_BT[0, first:stop])
