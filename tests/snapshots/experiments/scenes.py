"""Learners at a mark of the tiny pair with clauses and names, some of them planted."""

from __future__ import annotations

import anchored
import torch
from conftest import tiny
from torch import Tensor

from resonance.learning.batch import Batch, batch
from resonance.learning.learner import Learner
from resonance.networks.network import Output, State
from resonance.params import DIRECTIONS, Evaluation
from resonance.snapshots.experiments.scene import Scene
from resonance.text.prompt import prompt
from resonance.text.tokens import Tokens

TOKENS = anchored.tokens()


def scene(learner: Learner, **settings: object) -> Scene:
    return Scene(
        learner,
        learner,
        4,
        TOKENS,
        examples(TOKENS),
        Evaluation.model_validate({"kept": 2, **settings}),
        anchored.tokenizer(),
    )


def examples(tokens: Tokens) -> list[Batch]:
    device = torch.device("cpu")
    return [batch(prompt(tokens, direction, "relation"), direction, 0, device) for direction in DIRECTIONS]


def learner(name: str = "gpt", **changes: object) -> Learner:
    return Learner(tiny(name, **changes), TOKENS.vocabulary, seed=0, base=None, tokens=TOKENS)


class Planted(torch.nn.Module):
    """A network that says what a function of the whole sequence gives: `says(tokens_T) -> logits [T, V]`."""

    def __init__(self, says) -> None:
        super().__init__()
        self.says = says

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: object = None, below: object = None
    ) -> Output:
        logits_BTV = torch.stack([self.says(tokens_T) for tokens_T in tokens_BT])
        return Output((logits_BTV,), logits_BTV)


def planted(says) -> Learner:
    """An ordinary learner whose network is exchanged."""
    made = learner()
    network = Planted(says)
    made.network.forward = network.forward  # type: ignore[method-assign]
    return made
