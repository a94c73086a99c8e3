"""A network that carries a running sum of embeddings."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import layer_norm

from resonance import params
from resonance.networks.network import Below, Edit, Network, Output, State


class ToyNetwork(Network):
    """hidden[0] is the normed running sum of embeddings [B, T, D]; each layer adds a tanh of a matrix of it."""

    recurrent: ClassVar[bool] = True

    def __init__(self, settings: params.ToyNetwork, vocabulary: int, generator: Generator) -> None:
        super().__init__()
        self.depth, self.width, self.vocabulary = settings.layers, settings.width, vocabulary

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator) * settings.width**-0.5)

        self.embedding = drawn(vocabulary, settings.width)
        self.matrices = nn.ParameterList(drawn(settings.width, settings.width) for _ in range(settings.layers))
        self.head = drawn(vocabulary, settings.width)

    def empty_state(self, batch: int) -> State:
        """No embedding summed yet."""
        return {"sum": self.embedding.new_zeros(batch, self.width)}

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        """See `Network.forward`."""
        sum_BTD = self.embedding[tokens_BT].cumsum(1)
        if state is not None:
            sum_BTD = sum_BTD + state["sum"][:, None]
        hidden = [layer_norm(sum_BTD, (self.width,))]
        for layer, matrix in enumerate(self.matrices):
            left_BTD = hidden[-1] + torch.tanh(hidden[-1] @ matrix)
            hidden.append(edit(layer, left_BTD) if edit else left_BTD)
        return Output(tuple(hidden), hidden[-1] @ self.head.T, {"sum": sum_BTD[:, -1]})

    @torch.no_grad()
    def generate(
        self,
        prompt_BT: Tensor,
        length: int,
        state: State | None = None,
        edit: Edit | None = None,
        following: Edit | None = None,
    ) -> Tensor:
        """See `Network.generate`."""
        written = [prompt_BT[:, :0]]
        read_BT = prompt_BT
        for _ in range(length):
            output = self(read_BT, state, edit)
            read_BT, state, edit = output.logits_BTV[:, -1:].argmax(-1), output.state, following
            written.append(read_BT)
        return torch.cat(written, 1)
