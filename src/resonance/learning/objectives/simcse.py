"""The contrastive term of SimCSE: two noisy views of a segment are each other's match among all segments."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.learning.segments import Segments, place_of, texts_stay, trainable
from resonance.networks.network import Edit, Output


class Simcse(Objective):
    """See `params.Simcse`. Over the segments i of the input (Gao et al., arXiv 2104.08821):

    the mean of -log exp(cos(z_i, z'_i) / temperature) / sum_j exp(cos(z_i, z'_j) / temperature),

    where z and z' are the pooled states of two passes over `[BOS] INPUT [DIR]`. In each, a share of the features that
    layer 0 leaves is zero, by draws of the step, and the others are larger for it.
    """

    def __init__(self, settings: params.Simcse, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.settings = settings
        self.segments = Segments(materials.tokens)
        self.place = place_of(settings.layer, materials.network, "objective.simcse.layer")
        self._measured: dict[str, Tensor] = {}

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; both views are one more pass over the prompt, as a batch of two."""
        view_SD, other_SD = normalize(self.views(learner, batch, moment), dim=-1)
        cosine_SS = view_SD @ other_SD.T
        own_S = torch.arange(len(cosine_SS), device=cosine_SS.device)
        with torch.no_grad():
            matched = (cosine_SS.argmax(1) == own_S).to(cosine_SS.dtype).mean()
            self._measured = {"match": matched, "alike": cosine_SS.diagonal().mean(), "mean": cosine_SS.mean()}
        return cross_entropy(cosine_SS / self.settings.temperature, own_S)

    def views(self, learner: Learner, batch: Batch, moment: Moment) -> Tensor:
        """The segments of the input in both views, [2, S, D]."""
        texts_stay(learner, "simcse")
        tokens_BT = batch.tokens_BT[:, : batch.prompt]
        lead_BC = learner.memory.lead(learner.carried)
        if lead_BC is not None:
            tokens_BT = torch.cat([lead_BC, tokens_BT], dim=1)
        state = learner.memory.state(learner.carried)
        draws = moment.generator("simcse")
        kept_BTD = torch.rand(2, tokens_BT.shape[1], learner.network.width, generator=draws) >= self.settings.dropout
        factor_BTD = (kept_BTD / (1 - self.settings.dropout)).to(tokens_BT.device)
        with learner.autocast():
            output = learner.network(
                tokens_BT.expand(2, -1),
                state=None if state is None else {name: torch.cat([part, part]) for name, part in state.items()},
                edit=noisy(learner.scope.edit(batch.prompt), factor_BTD),
            )
        assert batch.input is not None
        hidden_BTD = trainable(learner, output, self.place, "simcse")[:, -batch.prompt :]
        return self.segments.of(batch.direction[0], batch.window, hidden_BTD[:, batch.input])

    def measured(self) -> dict[str, Tensor]:
        """`match`: share of segments whose other view is the nearest; mean cosine of both views (`alike`), of all pairs
        (`mean`).
        """
        return self._measured


def noisy(edit: Edit | None, factor_BTD: Tensor) -> Edit:
    """An edit after which what layer 0 leaves is multiplied by `factor_BTD`."""

    def apply(layer: int, hidden_BTD: Tensor) -> Tensor:
        left_BTD = hidden_BTD if edit is None else edit(layer, hidden_BTD)
        return left_BTD * factor_BTD.to(left_BTD) if layer == 0 else left_BTD

    return apply
