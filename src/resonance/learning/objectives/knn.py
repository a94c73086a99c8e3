"""Distillation from nearest neighbours: a kNN-LM over the pair itself teaches the learner, and is rebuilt in a loop."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch, batch
from resonance.learning.datastore import Datastore, chosen_temperature, counted, distribution, key, weights
from resonance.learning.divergence import divergence, log_softened, mean
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment
from resonance.learning.objective import Materials, Objective
from resonance.networks.network import Output
from resonance.params import DIRECTIONS
from resonance.text.prompt import prompt
from resonance.text.tokens import Tokens


class Knn(Objective):
    """See `params.Knn`. The mean over the target of KL(p_kNN ‖ p) in nats, p_kNN as in Memory Decoder (2508.09874).

    The datastore holds the R target tokens of all directions and windows, each with the learner's state before it as it
    was at the last rebuild: before the first step, and after every `every`-th cycle. Each of them is also a query; of
    keys that stand before the same token of the same text, its own among them, it sees none. So p_kNN of every target
    token is fixed from one rebuild to the next, and only the neighbours are kept: their tokens and weights [R, M].
    """

    token_RM: Tensor
    weight_RM: Tensor
    temperature: Tensor

    def __init__(self, settings: params.Knn, materials: Materials) -> None:
        super().__init__(settings, materials)
        if materials.tokens is None:
            raise ValueError("objective knn looks into the pair: give its tokens")
        if not materials.network.causal:
            raise UserError(
                "objective.knn: a network that fills masks has no state before a token to look up; "
                "choose one that reads from left to right, for example network: transformer."
            )
        self.settings, self.tokens = settings, materials.tokens
        self.every = settings.every
        self.rows, self.place_R = rows(materials.tokens)
        self.register_buffer("token_RM", torch.zeros(0, 0, dtype=torch.int64))
        self.register_buffer("weight_RM", torch.zeros(0, 0))
        self.register_buffer("temperature", torch.zeros(()))
        self._measured: dict[str, Tensor] = {}

    def term(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """See `Objective.term`. The very first call of a run, before any step, builds the first datastore."""
        if not len(self.token_RM):
            self.rebuild(learner)
        logits_NV, target_N = batch.predictions(output.logits_BTV)[0], batch.target_BT[0]
        p_NV = self.taught(batch, logits_NV.shape[-1])
        self._measured = {
            "label": p_NV.gather(1, target_N[:, None]).mean(),
            "neighbours": counted(self.weight_RM[self.rows[batch.direction, batch.window]]).median(),
            "temperature": self.temperature,
        }
        return mean(divergence(p_NV.log(), log_softened(logits_NV)))

    def taught(self, batch: Batch, vocabulary: int) -> Tensor:
        """p_kNN at every target token of a direction and window, [N, V]."""
        own = self.rows[batch.direction, batch.window]
        return distribution(self.token_RM[own], self.weight_RM[own], vocabulary)

    def measured(self) -> dict[str, Tensor]:
        """`label`: what the teacher gives the true token, on average over the target; `neighbours`: how many count for
        the median token of the target; `temperature`: T."""
        return self._measured

    def event(self, learner: Learner, batches: list[Batch], cycle: int) -> None:
        """See `Objective.event`: the learner as it is now becomes the teacher."""
        self.rebuild(learner)

    @torch.no_grad()
    def rebuild(self, learner: Learner) -> None:
        """Read all directions and windows, and look up the neighbours of every target token."""
        keys, tokens = [], []
        for direction, window in product(DIRECTIONS, range(self.tokens.windows)):
            form = prompt(self.tokens, direction, learner.settings.marker, window)
            example = batch(form, direction, window, learner.device)
            hidden_BTD = learner.read(example).hidden[-1]
            assert hidden_BTD is not None
            keys.append(key(example.predictions(hidden_BTD)[0]).to(learner.device))
            tokens.append(example.target_BT[0])
        place_R = self.place_R.to(learner.device)
        store = Datastore(torch.cat(keys), torch.cat(tokens), place_R)
        found = [
            store.nearest(key_ND, self.settings.neighbours, place_N)
            for key_ND, place_N in zip(keys, place_R.split([len(key_ND) for key_ND in keys]), strict=True)
        ]
        distance_RM, self.token_RM = (torch.cat(parts) for parts in zip(*found, strict=True))
        given = self.settings.temperature
        self.temperature = chosen_temperature(distance_RM) if given is None else distance_RM.new_tensor(given)
        self.weight_RM = weights(distance_RM, self.temperature)


def rows(tokens: Tokens) -> tuple[dict[tuple[str, int], slice], Tensor]:
    """Where the target tokens of each direction and window stand among all R, and the place of each, int64 [R].

    Two have the same place where they are the same token of the same text, asked for with two different inputs.
    """
    own: dict[tuple[str, int], slice] = {}
    places: list[Tensor] = []
    first: dict[tuple[str, int], int] = {}
    start = 0
    for direction, window in product(DIRECTIONS, range(tokens.windows)):
        text = direction.partition(">")[2]
        length = len(tokens.ids(text, window)) + len(tokens.markers["[EOS]"])
        place = first.setdefault((text, window), start)
        places.append(torch.arange(place, place + length))
        own[direction, window] = slice(start, start + length)
        start += length
    return own, torch.cat(places)
