"""What every network offers: tokens in, logits and hidden states out, and a state where it has one.

Shape suffixes, here and below: B batch, T token, L layer, H head, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

State = dict[str, Tensor]
"""A recurrent state: named tensors, each with the batch first. Never changed in place."""

Edit = Callable[[int, Tensor], Tensor]
"""`edit(layer, hidden_BTD)` returns the hidden states that the next layer reads (layers count from 0)."""


@dataclass(frozen=True)
class Output:
    """One forward pass.

    hidden: depth + 1 tensors [B, T, D]; the first is the embedding, number l + 1 is what layer l left (after its edit).
        A pass that starts above the embedding (`below`) has None in the places that it did not compute.
    logits_BTV: scores of the next token at every position.
    state: what a recurrent network carries on, None for a network without a state.
    """

    hidden: tuple[Tensor | None, ...]
    logits_BTV: Tensor
    state: State | None = None


@dataclass(frozen=True)
class Below:
    """Where nothing below can change, it is computed once: `hidden_BTD` is what layer `layer` leaves before its edit.

    A pass that is given this applies the edit of that layer and goes on with the next one.
    `extra` holds whatever else the layers above read from below (RWKV-7: the values of its first layer).
    """

    layer: int
    hidden_BTD: Tensor
    extra: State = field(default_factory=dict)


class Network(nn.Module):
    """Base class of all networks. A member is one file with one subclass, named like its settings in `params.py`.

    Attributes that a subclass sets: depth (number of layers), width (D), vocabulary (V).
    """

    recurrent: ClassVar[bool] = False
    """True where `forward` takes and returns a state."""

    depth: int
    width: int
    vocabulary: int

    def forward(
        self,
        tokens_BT: Tensor,
        state: State | None = None,
        edit: Edit | None = None,
        below: Below | None = None,
    ) -> Output:
        """Run the network over `tokens_BT` (int64 [B, T]), from `state` (None: the empty one)."""
        raise NotImplementedError

    def below(self, tokens_BT: Tensor, layer: int) -> Below:
        """One pass of the unedited network, kept up to what layer `layer` leaves."""
        with torch.no_grad():
            hidden_BTD = self(tokens_BT).hidden[layer + 1]
        assert hidden_BTD is not None
        return Below(layer, hidden_BTD)

    @torch.no_grad()
    def generate(
        self,
        prompt_BT: Tensor,
        length: int,
        state: State | None = None,
        edit: Edit | None = None,
        following: Edit | None = None,
    ) -> Tensor:
        """Greedy continuation, int64 [B, length].

        edit: of the hidden states of the prompt; following: of those of each token after it.
        """
        raise NotImplementedError


def detached(state: State | None) -> State | None:
    """The same state, cut off from the graph that made it."""
    return None if state is None else {name: tensor.detach() for name, tensor in state.items()}


def relative_change(new: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> float:
    """||new - old|| / ||old|| over all tensors of two states (0 / 0 is 0)."""
    change = sum(float((new[k].double() - old[k].double()).square().sum()) for k in new)
    norm = sum(float(old[k].double().square().sum()) for k in new)
    return 0.0 if change == 0 else (change / norm) ** 0.5 if norm > 0 else float("inf")
