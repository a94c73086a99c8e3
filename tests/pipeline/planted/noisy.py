"""The twin of `turned`: its hidden states move as far, but every token type in a direction of its own."""

from __future__ import annotations

import torch
from resonance.networks.turned import Turned
from torch import Generator, Tensor

from resonance import params
from resonance.networks.transformer import Transformer
from resonance.text.tokens import Tokens


class Noisy(Turned):
    """What is seen behind layer l is h plus noise, which the layers above take off again before they read it.

    The noise is isotropic over token types, [L + 1, V, D], and has the norm that the rotation would have moved the
    states of the pair by (root mean square of |h Q_l - h| over both texts).
    """

    noise_LVD: Tensor

    def __init__(self, settings: params.Noisy, vocabulary: int, generator: Generator) -> None:
        super().__init__(settings, vocabulary, generator)
        drawn_LVD = torch.randn(self.depth + 1, vocabulary, self.width, generator=generator)
        self.register_buffer("noise_LVD", drawn_LVD * self.width**-0.5)

    @torch.no_grad()
    def meet(self, tokens: Tokens) -> None:
        """See `Network.meet`."""
        super().meet(tokens)
        both_BT = torch.tensor([[*tokens.ids("1"), *tokens.ids("2")]])
        for layer, hidden_BTD in enumerate(Transformer.forward(self, both_BT).hidden):
            assert hidden_BTD is not None
            moves_BTD = super().seen(layer, hidden_BTD, both_BT) - hidden_BTD
            self.noise_LVD[layer] *= moves_BTD.square().sum(-1).mean().sqrt()

    def seen(self, layer: int, hidden_BTD: Tensor, tokens_BT: Tensor) -> Tensor:
        """See `Turned.seen`."""
        return hidden_BTD + self.noise_LVD[layer, tokens_BT]

    def meant(self, layer: int, seen_BTD: Tensor, tokens_BT: Tensor) -> Tensor:
        """See `Turned.meant`."""
        return seen_BTD - self.noise_LVD[layer, tokens_BT]
