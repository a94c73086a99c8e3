"""The contrastive term of SimCTG: the states of the tokens of a sequence are kept from becoming alike."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from resonance import params
from resonance.learning.affinity import cosines, mean_of_others
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.networks.network import Output


class Simctg(Objective):
    """See `params.Simctg`. Over all tokens i != j of a sequence, input and target (Su et al., arXiv 2202.06417):

    the mean of max(0, margin - s_ii + s_ij), where s_ij is the cosine of what the last layer left for both; s_ii is 1.
    """

    autonomous = True

    def __init__(self, settings: params.Simctg, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.margin = settings.margin
        self._measured: dict[str, Tensor] = {}

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`. A network that is not causal reads the sequence once more, with nothing masked."""
        if not learner.network.causal:
            output = learner.read(batch, whole=True)
        cosine_TT = cosines(cast(Tensor, output.hidden[-1])[0])
        self._measured = {"anisotropy": mean_of_others(cosine_TT.detach())}
        return mean_of_others((self.margin - 1 + cosine_TT).relu())

    def measured(self) -> dict[str, Tensor]:
        """`anisotropy`: the mean cosine of the states of different tokens."""
        return self._measured
