"""A head that guesses how wrong the learner is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resonance import params
from resonance.learning.batch import Batch
from resonance.learning.head import Head
from resonance.learning.learner import Learner
from resonance.learning.moment import Moment, generator
from resonance.learning.objective import Materials
from resonance.networks.network import Output


class ToyHead(Head):
    """A perceptron from the last hidden state to the loss of the next token."""

    def __init__(self, settings: params.ToyHead, materials: Materials) -> None:
        super().__init__(settings, materials)
        draws = generator(materials.seed, "toy head")
        width = materials.network.width
        self.inner = nn.Parameter(torch.randn(width, settings.width, generator=draws) * width**-0.5)
        self.outer = nn.Parameter(torch.zeros(settings.width))

    def loss(self, learner: Learner, batch: Batch, output: Output, moment: Moment) -> Tensor:
        """Mean squared error of the guess."""
        hidden_BTD = output.hidden[-1]
        assert hidden_BTD is not None
        guess = torch.tanh(hidden_BTD[0, batch.prompt - 1 : -1] @ self.inner) @ self.outer
        return (guess - batch.nll(output.logits_BTV)).square().mean()
