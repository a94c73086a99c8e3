"""What the planted networks without weights have in common: each place has one token that is said, or none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from resonance import params
from resonance.networks.network import Below, Edit, Network, Output, State
from resonance.text.tokens import Tokens

HEAD = 16
"""First input tokens by which a text is known; counterfactual inputs keep them."""
NOTHING = -1
"""In the place of a token that is not known."""


class Lookup(Network):
    """One layer that does nothing; hidden states are drawn embeddings [V, D].

    Where a token is known, it is said with log-odds of `sureness` (nat), which is trained; elsewhere all tokens are
    equally likely. Before it has met a pair it knows nothing.
    """

    depth = 1
    pair: Tokens | None = None

    def __init__(self, settings: params.Reciter, vocabulary: int, generator: Generator) -> None:
        super().__init__()
        self.width, self.vocabulary = settings.width, vocabulary
        self.register_buffer("embedding", torch.randn(vocabulary, self.width, generator=generator))
        self.sureness = nn.Parameter(12 + 4 * torch.rand((), generator=generator))

    def meet(self, tokens: Tokens) -> None:
        """See `Network.meet`."""
        self.pair = tokens

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        """See `Network.forward`."""
        if state is not None:
            raise ValueError("this network has no state to start from")
        read_BTD = self.embedding[tokens_BT] if below is None else below.hidden_BTD
        left_BTD = edit(0, read_BTD) if edit else read_BTD
        said_BT = torch.tensor([self.said(row) for row in tokens_BT.tolist()], device=tokens_BT.device)
        known_BTV = said_BT[..., None] == torch.arange(self.vocabulary, device=tokens_BT.device)
        return Output((None if below else read_BTD, left_BTD), self.sureness * known_BTV)

    def said(self, sequence: list[int]) -> list[int]:
        """The token that is said at each place of [BOS] INPUT [DIR] TARGET [EOS], as far as it is known."""
        unknown = [NOTHING] * len(sequence)
        if self.pair is None:
            return unknown
        same, other = (self.pair.markers[name][0] for name in ("[SAME]", "[OTHER]"))
        start = next((place for place, token in enumerate(sequence) if token in (same, other)), None)
        if start is None:
            return unknown
        given = sequence[1:start]
        source = next((text for text in "12" if given[:HEAD] == self.stored(text)[:HEAD]), None)
        if source is None:
            return unknown
        goal = source if sequence[start] == same else {"1": "2", "2": "1"}[source]
        target = [*self.target(given, source, goal), self.pair.markers["[EOS]"][0]]
        return [*unknown[:start], *target, *unknown][: len(sequence)]

    def target(self, given: Sequence[int], source: str, goal: str) -> Sequence[int]:
        """The target that is said to an input that begins as the text `source`."""
        raise NotImplementedError

    def stored(self, text: str) -> list[int]:
        """A text of the pair, by heart."""
        assert self.pair is not None
        return self.pair.ids(text).tolist()
