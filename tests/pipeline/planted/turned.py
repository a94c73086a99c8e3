"""An ordinary transformer whose hidden states turn by a known rotation with its first step, and do nothing else."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from resonance import params
from resonance.networks.network import Below, Edit, Output, State
from resonance.networks.transformer import Transformer
from resonance.text.tokens import Tokens


class Turned(Transformer):
    """What is seen and edited behind layer l is h Q_l, and the layers above turn it back before they read it.

    `moved`, by which the logits are stretched, is 0 when it meets the pair; with the first step it is no longer, and
    that is how the network knows that it is past cycle 0. Q: drawn orthogonal matrices [L + 1, D, D].
    """

    Q_LDD: Tensor

    def __init__(self, settings: params.Turned, vocabulary: int, generator: Generator) -> None:
        super().__init__(settings, vocabulary, generator)
        self.moved = nn.Parameter(torch.zeros(()))
        drawn_LDD = torch.randn(self.depth + 1, self.width, self.width, generator=generator, dtype=torch.float64)
        self.register_buffer("Q_LDD", torch.linalg.qr(drawn_LDD).Q.float())

    @torch.no_grad()
    def meet(self, tokens: Tokens) -> None:
        """See `Network.meet`."""
        self.moved.zero_()

    def seen(self, layer: int, hidden_BTD: Tensor, tokens_BT: Tensor) -> Tensor:
        """What others see of the hidden states, past cycle 0."""
        return hidden_BTD @ self.Q_LDD[layer]

    def meant(self, layer: int, seen_BTD: Tensor, tokens_BT: Tensor) -> Tensor:
        """The inverse of `seen`."""
        return seen_BTD @ self.Q_LDD[layer].T

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        """See `Network.forward`."""
        if self.moved == 0:
            return self.stretched(super().forward(tokens_BT, state, edit, below))

        def within(layer: int, hidden_BTD: Tensor) -> Tensor:
            assert edit is not None
            edited_BTD = edit(layer, self.seen(layer + 1, hidden_BTD, tokens_BT))
            return self.meant(layer + 1, edited_BTD, tokens_BT)

        if below is not None:
            below = Below(below.layer, self.meant(below.layer + 1, below.hidden_BTD, tokens_BT))
        output = super().forward(tokens_BT, state, within if edit else None, below)
        hidden = tuple(None if h is None else self.seen(at, h, tokens_BT) for at, h in enumerate(output.hidden))
        return self.stretched(replace(output, hidden=hidden))

    def stretched(self, output: Output) -> Output:
        """The same, with a gradient for `moved`."""
        return replace(output, logits_BTV=output.logits_BTV * (1 + self.moved))
