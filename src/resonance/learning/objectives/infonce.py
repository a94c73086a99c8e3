"""The contrastive term between both texts: aligned segments attract, all others and the learner's own words repel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from resonance import params
from resonance.errors import UserError
from resonance.learning.affinity import mean_where
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import below
from resonance.learning.rounds import Rounds
from resonance.learning.segments import Item, Segments, place_of, states, trainable
from resonance.networks.network import Output

NEVER = -1e9
"""A logit that a softmax does not see."""


class Infonce(Objective):
    """See `params.Infonce`. Over all links (a, b), each from both sides (van den Oord et al., arXiv 1807.03748):

    the mean of -log exp(cos(z_a, z_b) / t) / (exp(cos(z_a, z_b) / t) + sum_n exp(cos(z_a, z_n) / t)),

    where n runs over all segments of both texts but a and those linked with a, and over those of what the learner says
    itself in the place of the target. A sequence with one text twice has no links: its term is 0.
    """

    def __init__(self, settings: params.Infonce, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.settings = settings
        self.segments = Segments(materials.tokens)
        assert materials.tokens is not None
        if not materials.tokens.links:
            raise UserError(
                f"objective.infonce: pair {materials.tokens.name!r} does not say which segments correspond: list them "
                "under links in its segments.yaml (docs/text.md), or leave infonce out."
            )
        self.place = place_of(settings.layer, materials.network, "objective.infonce.layer")
        self.autonomous = settings.own == 0
        self.said = Rounds(max(1, settings.own))
        self._pairs: dict[tuple[str, int], Pairs] = {}
        self._measured: dict[str, Tensor] = {}

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; own words cost one more pass, as long as they differ from the target."""
        hidden_BTD = states(learner, batch, output, self.place, "infonce")
        vector_ND, items = self.segments.pooled(batch, hidden_BTD)
        pairs = self.pairs(batch, items, vector_ND.device)
        wrong_MD = self.own_words(learner, batch, moment) if pairs.links and self.settings.own else vector_ND[:0]
        unit_ND, wrong_MD = normalize(vector_ND, dim=-1), normalize(wrong_MD, dim=-1)
        cosine_NM = unit_ND @ torch.cat([unit_ND, wrong_MD]).T
        loss, most = vector_ND.sum() * 0, vector_ND.new_tensor(torch.nan)
        if pairs.links:
            loss, most = info_nce(cosine_NM / self.settings.temperature, pairs.linked_NN)
        with torch.no_grad():
            cosine_NN = cosine_NM[:, : len(items)]
            self._measured = {name: mean_where(cosine_NN, mask_NN) for name, mask_NN in pairs.masks().items()}
            self._measured["information"] = most - loss
            if self.settings.own:
                self._measured["own"] = vector_ND.new_tensor(float(len(wrong_MD)))
        return loss

    def measured(self) -> dict[str, Tensor]:
        """Mean cosines of `linked` segments, of different ones of one text (`intra`) and, unlinked, of both (`inter`).

        `information`: log of the number of candidates - the term, a lower bound on what the segments of one text tell
        of those of the other, in nats. `own`: how many segments said wrongly were among the candidates. A sequence with
        one text twice has not a number in the places of `linked`, `inter` and `information`.
        """
        return self._measured

    def own_words(self, learner: Learner, batch: Batch, moment: Moment) -> Tensor:
        """The segments [M, D] of what the learner said in the target's place at the first visit in this round.

        Its tokens are cut where those of the target are; a segment without a fault is no counterexample and left out.
        """
        own_BN = self.said.at(batch, moment.cycle, lambda: learner.say(batch, batch.target_BT.shape[1]))
        text = slice(batch.prompt, -batch.end)
        said = batch.said(own_BN)
        wrong_BT1 = (said.tokens_BT != batch.tokens_BT)[:, text, None].float()
        goal = batch.direction[-1]
        wrong_S = self.segments.of(goal, batch.window, wrong_BT1)[0, :, 0] > 0
        if not wrong_S.any():
            return wrong_BT1.new_zeros(0, learner.network.width)
        hidden_BTD = trainable(learner, learner.read(said, whole=True), self.place, "infonce")
        return self.segments.of(goal, batch.window, hidden_BTD[:, text])[0, wrong_S]

    def pairs(self, batch: Batch, items: tuple[Item, ...], device: torch.device) -> Pairs:
        """How the segments of a sequence are related; found once."""
        key = (batch.direction, batch.window)
        if key not in self._pairs:
            self._pairs[key] = related(self.segments, items, device)
        return self._pairs[key]

    def saved(self) -> dict[str, Tensor]:
        """What the learner said in this round."""
        return super().saved() | {f"said/{name}": tensor for name, tensor in self.said.saved().items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`."""
        super().restore(tensors)
        self.said.restore(below(tensors, "said"))


@dataclass(frozen=True)
class Pairs:
    """Relations of the N segments of a sequence, bool [N, N]; links: how many are linked, each counted once."""

    linked_NN: Tensor
    intra_NN: Tensor
    inter_NN: Tensor
    links: int

    def masks(self) -> dict[str, Tensor]:
        """The relations by name."""
        return {"linked": self.linked_NN, "intra": self.intra_NN, "inter": self.inter_NN}


def related(segments: Segments, items: tuple[Item, ...], device: torch.device) -> Pairs:
    """The relations of these segments; with one text twice a segment is not related to itself in its other place."""
    linked_NN = torch.tensor([[segments.linked(a, b) for b in items] for a in items])
    one_text_NN = torch.tensor([[a[0] == b[0] for b in items] for a in items])
    same_NN = torch.tensor([[a == b for b in items] for a in items])
    intra_NN, inter_NN = one_text_NN & ~same_NN, ~one_text_NN & ~linked_NN
    return Pairs(linked_NN.to(device), intra_NN.to(device), inter_NN.to(device), int(linked_NN.sum()) // 2)


def info_nce(logits_NM: Tensor, linked_NN: Tensor) -> tuple[Tensor, Tensor]:
    """(The term, the mean log of the number of candidates), over all linked places.

    logits_NM: of N segments with themselves and, behind them, with M - N others. Candidates of a linked place (a, b)
    are b and all that is neither a nor linked with a.
    """
    count = len(linked_NN)
    apart_NM = torch.ones_like(logits_NM, dtype=torch.bool)
    apart_NM[:, :count] = ~linked_NN & ~torch.eye(count, dtype=torch.bool, device=linked_NN.device)
    others_N1 = logits_NM.masked_fill(~apart_NM, NEVER).logsumexp(1, keepdim=True)
    loss_NN = softplus(others_N1 - logits_NM[:, :count])
    candidates_N1 = (1 + apart_NM.sum(1, keepdim=True)).to(loss_NN)
    return mean_where(loss_NN, linked_NN), mean_where(candidates_N1.log().expand_as(loss_NN), linked_NN)
