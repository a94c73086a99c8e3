"""What every network offers: tokens in, logits and hidden states out, and a state where it has one.

Shape suffixes, here and below: B batch, T token, L layer, H head, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from resonance.text.tokens import Tokens

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
    weight_BN: what -log p of each target token counts in the loss, where a masked sequence was read; None: 1 each.
    """

    hidden: tuple[Tensor | None, ...]
    logits_BTV: Tensor
    state: State | None = None
    weight_BN: Tensor | None = None

    def part(self, rows: slice, places: slice) -> Output:
        """The same of some sequences of the batch and some places of theirs; without the state."""
        hidden = tuple(None if h is None else h[rows, places] for h in self.hidden)
        return Output(hidden, self.logits_BTV[rows, places])


@dataclass(frozen=True)
class Below:
    """Where nothing below can change, it is computed once: `hidden_BTD` is what layer `layer` leaves before its edit.

    A pass that is given this applies the edit of that layer and goes on with the next one.
    `extra` holds whatever else the layers above read from below (RWKV-7: the values of its first layer).
    """

    layer: int
    hidden_BTD: Tensor
    extra: State = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a network predicts of N target tokens.

    log_p_NV: the distribution at each of them, as the network came to it. nll_N: -log p of the true tokens in nats;
        where that cannot be computed, the share of each token in an upper bound of their sum.
    """

    log_p_NV: Tensor
    nll_N: Tensor


class Network(nn.Module):
    """Base class of all networks. A member is one file with one subclass, named like its settings in `params`.

    Attributes that a subclass sets: depth (number of layers), width (D), vocabulary (V).
    """

    recurrent: bool = False
    """True where `forward` takes and returns a state."""

    causal: ClassVar[bool] = True
    """False where a token sees later ones: such a network learns targets that are masked (`masked`)."""

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

    def meet(self, tokens: Tokens) -> None:
        """Called once, before anything else, with the pair that is studied; most networks need nothing of it."""

    def compilable(self) -> Iterable[nn.Module]:
        """The parts that torch.compile may take, one at a time; none where it would break on what they do."""
        return ()

    def between(self, state: State) -> State:
        """What of a state is carried from the end of one sequence to the beginning of the next: all of it."""
        return state

    def masked(self, tokens_BT: Tensor, prompt: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """For a network that is not causal: what it is shown in training, and the weights of the loss.

        Returns (tokens_BT with some of those after `prompt` masked, [B, T - prompt] weights of their -log p).
        """
        raise NotImplementedError

    def nll(self, tokens_BT: Tensor, prompt: int, draws: torch.Generator) -> Tensor:
        """-log p of the tokens after `prompt` in nats, [B, T - prompt], or an estimate of the bound on it."""
        logits_BNV = self(tokens_BT[:, :-1]).logits_BTV[:, prompt - 1 :]
        targets_BN = tokens_BT[:, prompt:]
        return cross_entropy(logits_BNV.flatten(0, 1), targets_BN.flatten(), reduction="none").view_as(targets_BN)

    def answer(
        self,
        tokens_BT: Tensor,
        prompt: int,
        state: State | None = None,
        edit: Edit | None = None,
        below: Below | None = None,
    ) -> Answer:
        """What is predicted of the N tokens after `prompt` of one sequence, each from the true ones before it."""
        logits_NV = self(tokens_BT, state, edit, below).logits_BTV[0, prompt - 1 : -1]
        log_p_NV = logits_NV.float().log_softmax(-1)
        return Answer(log_p_NV, -log_p_NV.gather(1, tokens_BT[0, prompt:, None])[:, 0])

    @torch.no_grad()
    def generate(
        self,
        prompt_BT: Tensor,
        length: int,
        state: State | None = None,
        edit: Edit | None = None,
        following: Edit | None = None,
    ) -> Tensor:
        """Greedy continuation, int64 [B, length]; here of a network with a state, one token at a time.

        edit: of the hidden states of the prompt; following: of those of each token after it.
        """
        read_BT, written_BT = prompt_BT, [prompt_BT[:, :0]]
        for _ in range(length):
            output = self(read_BT, state, edit)
            read_BT, state, edit = output.logits_BTV[:, -1:].argmax(-1), output.state, following
            written_BT.append(read_BT)
        return torch.cat(written_BT, dim=1)


def detached(state: State | None) -> State | None:
    """The same state, cut off from the graph that made it."""
    return None if state is None else {name: tensor.detach() for name, tensor in state.items()}


def relative_change(new: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> float:
    """||new - old|| / ||old|| over all tensors of two states (0 / 0 is 0)."""
    change = sum(float((new[k].double() - old[k].double()).square().sum()) for k in new)
    norm = sum(float(old[k].double().square().sum()) for k in new)
    return 0.0 if change == 0 else (change / norm) ** 0.5 if norm > 0 else float("inf")
