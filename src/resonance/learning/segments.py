"""The segments of both texts as vectors: hidden states, averaged over the tokens of each.

Shape suffixes, here and in the objectives that read this: S segments of one text, N of a whole sequence, D width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.divergence import precise
from resonance.learning.learner import Learner
from resonance.learning.memory import Text
from resonance.learning.scope import existing
from resonance.networks.network import Network, Output
from resonance.text.segments import SIDES
from resonance.text.tokens import Tokens

LENGTH = 48
"""Tokens of a segment where a pair has no segments.yaml."""

Item = tuple[str, int]
"""A segment: the text, '1' or '2', and its number there, from 0."""


class Pooled(NamedTuple):
    """The segments of a sequence, those of the input first: their vectors [N, D], and which they are."""

    vector_ND: Tensor
    items: tuple[Item, ...]


class Segments:
    """Where the segments of a pair stand, for each text and window.

    They are those of segments.yaml, without the white space between them; a pair without that file is cut into pieces
    of some 48 tokens.
    """

    def __init__(self, tokens: Tokens | None) -> None:
        if tokens is None:
            raise ValueError("segments are those of a pair: the learner needs to be told of one")
        self.labels: dict[tuple[str, int], NDArray[np.int64]] = labels(tokens)
        self.links = set(tokens.links)
        self._shares: dict[tuple[str, int, torch.device, torch.dtype], Tensor] = {}

    def items(self, text: str, window: int) -> tuple[Item, ...]:
        """The segments of a window, in the order of their numbers."""
        return tuple((text, int(number)) for number in np.unique(self.labels[text, window]) if number >= 0)

    def shares(self, text: str, window: int, like: Tensor) -> Tensor:
        """What each token counts in the mean of each segment [S, T]; precision and device are those of `like`."""
        key = (text, window, like.device, like.dtype)
        if key not in self._shares:
            numbers_S = np.array([number for _, number in self.items(text, window)])
            inside_ST = self.labels[text, window] == numbers_S[:, None]
            self._shares[key] = torch.from_numpy(inside_ST / inside_ST.sum(1, keepdims=True)).to(like)
        return self._shares[key]

    def of(self, text: str, window: int, hidden_BTD: Tensor) -> Tensor:
        """The mean state of every segment of a text [B, S, D], from those of its tokens alone [B, T, D]."""
        hidden_BTD = precise(hidden_BTD)
        return self.shares(text, window, hidden_BTD) @ hidden_BTD

    def pooled(self, batch: Batch, hidden_BTD: Tensor) -> Pooled:
        """The segments of input and target, from the states of a whole sequence [1, T, D]; in 1>1 and 2>2 one text."""
        assert batch.input is not None
        source, _, goal = batch.direction.partition(">")
        read_BTD, said_BTD = hidden_BTD[:, batch.input], hidden_BTD[:, batch.prompt : -batch.end]
        parts = [self.of(source, batch.window, read_BTD), self.of(goal, batch.window, said_BTD)]
        items = self.items(source, batch.window) + self.items(goal, batch.window)
        return Pooled(torch.cat(parts, dim=1)[0], items)

    def linked(self, one: Item, other: Item) -> bool:
        """Whether two segments, of text 1 and text 2 in any order, say the same."""
        (text_a, number_a), (text_b, number_b) = sorted((one, other))
        return text_a != text_b and (number_a, number_b) in self.links


def labels(tokens: Tokens) -> dict[tuple[str, int], NDArray[np.int64]]:
    """The segment of every token [T], -1 for none, by text and window."""
    given = {(side, window): tokens.segments(side, window) for side in SIDES for window in range(tokens.windows)}
    if all((tokens.segments(side) >= 0).any() for side in SIDES):
        return given
    return {
        (side, window): pieces
        for side in SIDES
        for window, pieces in enumerate(even_pieces([len(given[side, w]) for w in range(tokens.windows)]))
    }


def even_pieces(lengths: list[int]) -> list[NDArray[np.int64]]:
    """The piece of every token of windows with these lengths; pieces are numbered through the whole text.

    All have LENGTH tokens but the last of a window, which has half as many at least and one and a half times at most,
    if the window is as long.
    """
    counts = [max(1, round(length / LENGTH)) for length in lengths]
    edges = [0, *np.cumsum(counts).tolist()]
    return [
        first + np.minimum(np.arange(length) // LENGTH, after - first - 1)
        for length, (first, after) in zip(lengths, pairwise(edges), strict=True)
    ]


def place_of(layer: int, network: Network, key: str) -> int:
    """Where in `Output.hidden` stands what layer `layer` leaves (-1: the last layer); a UserError if there is none."""
    return network.depth if layer == -1 else existing((layer,), network, key)[0] + 1


def states(learner: Learner, batch: Batch, output: Output, place: int, tag: str) -> Tensor:
    """The hidden states [1, T, D] whose segments the objective `tag` reads: those of `output`, of the true tokens.

    A network that is not causal was shown a masked target; it reads the sequence once more as it is.
    """
    texts_stay(learner, tag)
    if not learner.network.causal:
        output = learner.read(batch, whole=True)
    return trainable(learner, output, place, tag)


def texts_stay(learner: Learner, tag: str) -> None:
    """A UserError where the input is not the text, but what was said in its place."""
    if isinstance(learner.memory, Text):
        raise UserError(
            f"objective.{tag} reads the segments of the texts, but train.nothing.memory: text puts what the learner "
            "said in their place: choose another memory, or leave the objective out."
        )


def trainable(learner: Learner, output: Output, place: int, tag: str) -> Tensor:
    """The states at one place of an output, or a UserError where training cannot change them."""
    hidden_BTD = output.hidden[place]
    trains = bool(learner.network_parameters or learner.scope.trained())
    if hidden_BTD is None or (trains and torch.is_grad_enabled() and not hidden_BTD.requires_grad):
        raise UserError(
            f"objective.{tag}.layer: nothing that is trained changes what layer {place - 1} leaves: choose a higher "
            "layer, or -1 for the last, or let train change more."
        )
    return hidden_BTD
