"""Cross-entropy with smoothed labels: the control of distillation whose teacher knows nothing (Szegedy et al. 2016)."""

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


class LabelSmoothing(Objective):
    """See `params.LabelSmoothing`. Of token y the target is (1 − ε) onehot(y) + ε / V; lm's term is left out.

    The term is the mean over tokens of (1 − ε) (−log p(y)) + ε mean over v of −log p(v), in nats (arXiv 1512.00567, 7).
    """

    autonomous = True

    def __init__(self, settings: params.LabelSmoothing, materials: Materials) -> None:
        super().__init__(settings, materials)
        if not materials.network.causal:
            raise UserError(
                "objective.label-smoothing: a network that fills masks learns a bound, which smoothed labels are no "
                "part of: set network to a causal one."
            )
        self.epsilon = settings.epsilon

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`."""
        scores_NV = precise(batch.predictions(output.logits_BTV)[0])
        return cross_entropy(scores_NV, batch.target_BT[0], reduction="none", label_smoothing=self.epsilon).mean()
