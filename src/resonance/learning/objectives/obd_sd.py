"""Online batch diffusion self-distillation: how segments lie to each other is taught by how they lay a while ago."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resonance import params
from resonance.learning.affinity import cosines, mean_of_others
from resonance.learning.batch import Batch
from resonance.learning.divergence import divergence, log_softened
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.learning.part import below
from resonance.learning.rounds import Rounds
from resonance.learning.segments import Segments, place_of, states
from resonance.networks.network import Output

FAR = 1e9
"""Taken off the affinity of an item with itself, so that no softmax sees it."""


class ObdSd(Objective):
    """See `params.ObdSd` and Zeng et al., arXiv 2211.07566. Items are the N segments of a sequence, input and target.

    Z [N, D] are their pooled states now, at length 1, and Z' those at the first visit in this round of `every` cycles.
    The term is t^2 KL(Y || softmax(Z Z^T / t)), the mean over items, with Y = `diffused(Z' Z'^T)`, t the temperature.
    """

    def __init__(self, settings: params.ObdSd, materials: Materials) -> None:
        super().__init__(settings, materials)
        self.settings = settings
        self.segments = Segments(materials.tokens)
        self.place = place_of(settings.layer, materials.network, "objective.obd-sd.layer")
        self.teacher = Rounds(settings.every)
        self._measured: dict[str, Tensor] = {}

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`; 0 in the first round, which has no teacher."""
        hidden_BTD = states(learner, batch, output, self.place, "obd-sd")
        vector_ND = self.segments.pooled(batch, hidden_BTD).vector_ND
        affinity_NN = cosines(vector_ND)
        term, targets = vector_ND.sum() * 0, vector_ND.new_tensor(torch.nan)
        if self.teacher.number(moment.cycle) > 0:
            target_NN = self.target(cosines(self.teacher.at(batch, moment.cycle, lambda: vector_ND)))
            term, targets = self.distance(target_NN, affinity_NN), effective(target_NN)
        self._measured = {"targets": targets, "mean": mean_of_others(affinity_NN.detach())}
        return term

    def target(self, affinity_NN: Tensor) -> Tensor:
        """Y of the settings, [N, N]."""
        s = self.settings
        return diffused(affinity_NN, s.diffusion, s.temperature, s.spread, s.itself)

    def distance(self, target_NN: Tensor, affinity_NN: Tensor) -> Tensor:
        """t^2 times the mean over rows of KL(target || softmax(affinity / t)), a scalar."""
        t = self.settings.temperature
        seen_NN = affinity_NN if self.settings.itself else alone(affinity_NN)
        return t**2 * divergence(target_NN.log(), log_softened(seen_NN, t)).mean()

    def measured(self) -> dict[str, Tensor]:
        """`targets`: exp of the entropy of a row of Y, the mean; not a number in the first round. `mean`: mean cosine
        of different segments.
        """
        return self._measured

    def saved(self) -> dict[str, Tensor]:
        """The teacher's vectors."""
        return super().saved() | {f"teacher/{name}": tensor for name, tensor in self.teacher.saved().items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Part.restore`."""
        super().restore(tensors)
        self.teacher.restore(below(tensors, "teacher"))


@torch.no_grad()
def diffused(affinity_NN: Tensor, diffusion: float, temperature: float, spread: float, itself: bool = True) -> Tensor:
    """Y = (1 - w) (I - w W)^-1 softmax(A / t) with W = softmax((A - inf I) / spread): rows [N, N] that sum to 1.

    It is the limit of F <- w W F + (1 - w) softmax(A / t), a walk from item to item that goes on with probability w =
    `diffusion` and then looks around. Computed in float64.

    itself: True as published. False: an item is not among its own neighbours, neither where a walk begins nor where it
    ends; what would come back to it is shared out among the others.
    """
    exact_NN = affinity_NN.double()
    one_NN = torch.eye(len(exact_NN), dtype=exact_NN.dtype, device=exact_NN.device)
    walk_NN = (alone(exact_NN) / spread).softmax(1)
    look_NN = ((exact_NN if itself else alone(exact_NN)) / temperature).softmax(1)
    target_NN = (1 - diffusion) * torch.linalg.solve(one_NN - diffusion * walk_NN, look_NN)
    if not itself:
        target_NN = target_NN * (1 - one_NN)
        target_NN = target_NN / target_NN.sum(1, keepdim=True)
    return target_NN.to(affinity_NN.dtype)


def effective(target_NN: Tensor) -> Tensor:
    """To how many items a row of the target points: exp of its entropy, the mean over rows, 1 ... N."""
    return (-torch.special.xlogy(target_NN, target_NN).sum(1)).exp().mean()


def alone(affinity_NN: Tensor) -> Tensor:
    """Affinities without those of items with themselves."""
    return affinity_NN - FAR * torch.eye(len(affinity_NN), dtype=affinity_NN.dtype, device=affinity_NN.device)
