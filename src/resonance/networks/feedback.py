"""Feedback Transformer: a recurrent network in which what the top layer made of the past is read by every layer.

Source: arXiv 2002.09402. Layers and the loop over tokens in `feedback_blocks.py`, its backward pass in
`feedback_gradients.py`; formulas in docs/networks/feedback.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.autograd import forward_ad

from resonance import params
from resonance.errors import UserError
from resonance.networks.feedback_blocks import (
    EPS,
    EditOne,
    Folded,
    Layer,
    Past,
    Reader,
    TracedPast,
    folded,
    read,
    remembered,
)
from resonance.networks.feedback_gradients import Fused
from resonance.networks.network import Below, Edit, Network, Output, State

EMBEDDED = -1
"""The layer of a `Below`: an edit changes memories, memories are read by all layers, so that only tokens stay."""


class Feedback(Network):
    """Feedback Transformer; the state is `memories` [B, span, D], those of the last `span` tokens, zeros at the start.

    An edit is asked about one token at a time, and must treat each position for itself.
    """

    recurrent = True

    fused: bool = True
    """Train with the backward pass of `feedback_gradients.py`. False: leave it to autograd, which is slow, but whose
    graph can itself be differentiated."""

    def __init__(self, settings: params.Feedback, vocabulary: int, generator: Generator) -> None:
        super().__init__()
        width, heads = settings.width, settings.heads
        if width % heads:
            raise UserError(f"feedback: width {width} is not a multiple of heads {heads}: change one of them.")
        self.depth, self.width, self.vocabulary, self.heads = settings.layers, width, vocabulary, heads
        self.span, self.block = settings.span, settings.block
        with torch.device("meta"):
            self.emb = nn.Embedding(vocabulary, width)
            if settings.shared:
                self.reader = Reader(width)
            self.layers = nn.ModuleList(Layer(width, settings.feedforward, settings.shared) for _ in range(self.depth))
            self.places = nn.Parameter(torch.empty(self.span, width // heads))
            self.mix = nn.Parameter(torch.empty(self.depth + 1))
            self.norm = nn.LayerNorm(width, eps=EPS)
            self.head = nn.Linear(width, vocabulary)
        self.shared = settings.shared
        self.to_empty(device=generator.device)
        self.initialise(generator)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """The start of the published code, drawn from one generator.

        Matrices and biases are uniform within ±1/√inputs, those that write to the stream divided by √(2 L); embeddings
        of tokens and distances are N(0, 1), gains 1; all layers have the same share in a memory.
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, nn.Embedding):
                module.weight.normal_(generator=generator)
            elif isinstance(module, nn.Linear):
                writes = name.endswith((".output", ".outer"))
                bound = 1 / math.sqrt(module.in_features * (2 * self.depth if writes else 1))
                for parameter in module.parameters():
                    parameter.uniform_(-bound, bound, generator=generator)
        self.places.normal_(generator=generator)
        self.mix.zero_()

    def folded(self) -> Folded:
        """The weights as the loop reads them."""
        layers = [cast(Layer, layer) for layer in self.layers]
        return folded(
            layers, [self.reader] if self.shared else [layer.reader for layer in layers], self.places, self.mix
        )

    def empty_state(self, batch: int) -> State:
        """The state before the first token of `batch` sequences: zeros."""
        return {"memories": self.emb.weight.new_zeros(batch, self.span, self.width)}

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        """See `Network.forward`; T >= 1.

        Gradients flow through at most `block` tokens: memories are cut off from their graph where a block begins, but
        those of `state` are not. Forward-mode derivatives are never cut. A pass that is given `below` has no state,
        neither before nor after, but all hidden states.
        """
        if below is not None and state is not None:
            raise ValueError("what lies below is not fixed where a state is carried: give `state` or `below`, not both")
        if below is not None and below.layer != EMBEDDED:
            raise ValueError(
                f"`below` at layer {below.layer} was not made by this network: it keeps embedded tokens only"
            )
        embedded_BTD = self.emb(tokens_BT) if below is None else below.hidden_BTD
        with torch.autocast(embedded_BTD.device.type, enabled=False):
            hidden, memories_BWD = self.read(embedded_BTD, None if state is None else state["memories"], edit)
        logits_BTV = self.head(self.norm(hidden[-1]))
        if below is not None:
            return Output(hidden, logits_BTV)
        blank = memories_BWD.new_zeros(len(memories_BWD), self.span - memories_BWD.shape[1], self.width)
        return Output(hidden, logits_BTV, {"memories": torch.cat([blank, memories_BWD], 1)})

    def read(
        self, embedded_BTD: Tensor, memories_BWD: Tensor | None, edit: Edit | None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Block after block: returns (hidden states of all layers, the last memories [B, W, D], W at most the span)."""
        B, T, D = embedded_BTD.shape
        weights = self.folded()
        old_BWD = embedded_BTD.new_zeros(B, 0, D) if memories_BWD is None else memories_BWD
        moving = moves((embedded_BTD, old_BWD, *weights))
        known_BWD, blocks = old_BWD, []
        for start in range(0, T, self.block):
            block_CBD = embedded_BTD[:, start : start + self.block].transpose(0, 1)
            past = remembered(old_BWD, weights, self.heads)
            left_LCBD, new_CBD = self.run(block_CBD, weights, past, moving, edit and _one(edit, start, T))
            blocks.append(left_LCBD)
            known_BWD = torch.cat([known_BWD, new_CBD.transpose(0, 1)], 1)[:, -self.span :]
            old_BWD = known_BWD if moving else known_BWD.detach()
        return (embedded_BTD, *torch.cat(blocks, 1).transpose(1, 2).unbind()), known_BWD

    def run(
        self,
        embedded_CBD: Tensor,
        weights: Folded,
        past: tuple[Tensor, Tensor],
        moving: bool,
        edit: EditOne | None,
    ) -> tuple[Tensor, Tensor]:
        """One block in the form that suits what will be asked of it: see `read` of `feedback_blocks.py`."""
        graph = torch.is_grad_enabled()
        if moving or (graph and (edit is not None or not self.fused)):
            return read(embedded_CBD, weights, TracedPast(*past, self.span), edit)
        if graph:
            left_LCBD, memories_CBD = Fused.apply(embedded_CBD, *past, *weights)
            return left_LCBD, memories_CBD
        with torch.inference_mode():
            left_LCBD, memories_CBD = read(embedded_CBD, weights, Past(*past, len(embedded_CBD), self.span), edit)
        return left_LCBD.clone(), memories_CBD.clone()

    def below(self, tokens_BT: Tensor, layer: int) -> Below:
        """See `Network.below`; here the embedded tokens, whatever `layer` is."""
        with torch.no_grad():
            return Below(EMBEDDED, self.emb(tokens_BT))


def moves(tensors: Iterable[Tensor]) -> bool:
    """True in a pass of forward-mode differentiation through one of these."""
    return any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)


def _one(edit: Edit, start: int, tokens: int) -> EditOne:
    """An edit of whole passes, asked about one token, which stands at all positions; the answer for its own is read."""

    def apply(layer: int, token: int, x_BD: Tensor) -> Tensor:
        return edit(layer, x_BD.unsqueeze(1).expand(-1, tokens, -1))[:, start + token]

    return apply
