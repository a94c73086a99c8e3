"""The layers of the Feedback Transformer and the loop that reads tokens with them, in plain operations.

Source: arXiv 2002.09402; formulas in docs/networks/feedback.md.

Shapes beside those of `network.py`: C tokens of a block, S span, W memories, N head size, F hidden width of the ReLU
block, R readers (1 or L), K = L + 1, M = 2 · R · D. Heads are folded into the batch: A = B · H.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5
"""Of all norms."""

EditOne = Callable[[int, int, Tensor], Tensor]
"""`edit(layer, token, x_BD)` returns what the next layer and the memory of the token read."""


class Reader(nn.Module):
    """How memories are read: normalised, then projected to keys and values. Queries go through the same norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)


class Layer(nn.Module):
    """One layer: attention to the memories and a ReLU block, each normalised before and added to the stream.

    shared: all layers have one reader, and this layer has none of its own.
    """

    def __init__(self, width: int, feedforward: int, shared: bool) -> None:
        super().__init__()
        if not shared:
            self.reader = Reader(width)
        self.query = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.inner = nn.Linear(width, feedforward)
        self.outer = nn.Linear(feedforward, width)


class Folded(NamedTuple):
    """What the loop over tokens multiplies with, all matrices [in, out], so that each product is one call.

    The gain and bias of a norm are part of the matrix after it; the loop only centres and scales. For memories this
    means: the bias of their norm adds one number to all scores of a query, which the softmax drops, and one vector to
    all values, which passes the attention unchanged and is part of `output_LD`. So a memory of zeros, which stands for
    every token before the start, has a key and a value of zeros.
    """

    query_LDD: Tensor
    query_LD: Tensor
    output_LDD: Tensor
    output_LD: Tensor
    inner_LDF: Tensor
    inner_LF: Tensor
    outer_LFD: Tensor
    outer_LD: Tensor
    remember_DM: Tensor
    """To the keys of all readers, then to the values of all readers."""
    places_NS: Tensor
    """Key embeddings of the distances S, S - 1, ..., 1."""
    shares_K: Tensor
    """Of the embedding and of each layer in a memory; their sum is 1."""

    @property
    def span(self) -> int:
        """S."""
        return self.places_NS.shape[1]

    @property
    def readers(self) -> int:
        """R."""
        return self.remember_DM.shape[1] // (2 * self.remember_DM.shape[0])


def folded(layers: Sequence[Layer], readers: Sequence[Reader], places_SN: Tensor, mix_K: Tensor) -> Folded:
    """The weights in the form of the loop, by operations through which gradients find the parameters.

    readers: one for all layers, or one for each.
    """
    pairs = [(layer, readers[index % len(readers)]) for index, layer in enumerate(layers)]
    scale = places_SN.shape[1] ** -0.5
    pasts = [(reader.key, reader.norm) for reader in readers] + [(reader.value, reader.norm) for reader in readers]
    return Folded(
        query_LDD=torch.stack([(layer.query.weight * (reader.norm.weight * scale)).mT for layer, reader in pairs]),
        query_LD=torch.stack([layer.query.weight @ (reader.norm.bias * scale) for layer, reader in pairs]),
        output_LDD=torch.stack([layer.output.weight.mT for layer in layers]),
        output_LD=torch.stack(
            [layer.output.weight @ (reader.value.weight @ reader.norm.bias) for layer, reader in pairs]
        ),
        inner_LDF=torch.stack([(layer.inner.weight * layer.norm.weight).mT for layer in layers]),
        inner_LF=torch.stack([layer.inner.weight @ layer.norm.bias + layer.inner.bias for layer in layers]),
        outer_LFD=torch.stack([layer.outer.weight.mT for layer in layers]),
        outer_LD=torch.stack([layer.outer.bias for layer in layers]),
        remember_DM=torch.cat([(projection.weight * norm.weight).mT for projection, norm in pasts], 1),
        places_NS=places_SN.mT.contiguous(),
        shares_K=mix_K.softmax(0),
    )


class Past:
    """Keys and values of the memories before a block and of those that it makes; a token sees the last `span` of them.

    Changed in place, so that no token copies them: only for passes of which torch keeps no graph.
    """

    def __init__(self, keys_RANW: Tensor, values_RAWN: Tensor, tokens: int, span: int) -> None:
        self.span, self.size = span, keys_RANW.shape[-1]
        self.keys = F.pad(keys_RANW, (0, tokens))
        self.values = F.pad(values_RAWN, (0, 0, 0, tokens))
        self.by_reader = list(zip(self.keys.unbind(), self.values.unbind(), strict=True))

    def seen(self) -> list[list[tuple[Tensor, Tensor]]]:
        """For each reader the (keys, values) that the next token sees, in one piece."""
        count = min(self.size, self.span)
        start = self.size - count
        return [[(keys.narrow(2, start, count), values.narrow(1, start, count))] for keys, values in self.by_reader]

    def add(self, key_RAN1: Tensor, value_RA1N: Tensor) -> None:
        """Append one memory."""
        self.keys.narrow(3, self.size, 1).copy_(key_RAN1)
        self.values.narrow(2, self.size, 1).copy_(value_RA1N)
        self.size += 1


class TracedPast:
    """The same for passes that torch differentiates: in two pieces, those before the block and those it makes."""

    def __init__(self, keys_RANW: Tensor, values_RAWN: Tensor, span: int) -> None:
        self.span, self.before = span, (keys_RANW, values_RAWN)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def seen(self) -> list[list[tuple[Tensor, Tensor]]]:
        """For each reader the (keys, values) that the next token sees, in one or two pieces."""
        keys, values = self.before
        made = len(self.keys)
        old = slice(max(0, keys.shape[-1] + made - self.span), None)
        pieces = [zip(keys[..., old].unbind(), values[..., old, :].unbind(), strict=True)]
        if made:
            new = slice(max(0, made - self.span), None)
            both = torch.cat(self.keys[new], -1).unbind(), torch.cat(self.values[new], -2).unbind()
            pieces.append(zip(*both, strict=True))
        return [list(each) for each in zip(*pieces, strict=True)]

    def add(self, key_RAN1: Tensor, value_RA1N: Tensor) -> None:
        """Append one memory."""
        self.keys.append(key_RAN1)
        self.values.append(value_RA1N)


class Kept(NamedTuple):
    """What one layer computed for one token, as far as a backward pass needs it."""

    attention_A1S: Tensor
    query_A1N: Tensor
    value_A1N: Tensor
    middle_BD: Tensor
    hidden_BF: Tensor


def read(
    embedded_CBD: Tensor,
    weights: Folded,
    past: Past | TracedPast,
    edit: EditOne | None = None,
    kept: list[Kept] | None = None,
) -> tuple[Tensor, Tensor]:
    """Read the tokens of a block: returns (what the layers leave [L, C, B, D], the memories [C, B, D]).

    past: is continued. kept: receives what the layers computed, token by token.
    """
    layers = list(zip(*(stacked.unbind() for stacked in weights[:8]), strict=True))
    N, heads = weights.places_NS.shape[0], embedded_CBD.shape[-1] // weights.places_NS.shape[0]
    left, memories = [], []
    for token, x_BD in enumerate(embedded_CBD.unbind()):
        seen, stream = past.seen(), [x_BD]
        for layer, (query, query_b, output, output_b, inner, inner_b, outer, outer_b) in enumerate(layers):
            query_A1N = torch.addmm(query_b, standardised(x_BD), query).view(-1, 1, N)
            attention_A1S, value_A1N = attended(query_A1N, weights.places_NS, seen[layer % len(seen)])
            middle_BD = torch.addmm(x_BD + output_b, value_A1N.view(x_BD.shape), output)
            hidden_BF = torch.addmm(inner_b, standardised(middle_BD), inner).relu()
            if kept is not None:
                kept.append(Kept(attention_A1S, query_A1N, value_A1N, middle_BD, hidden_BF))
            x_BD = torch.addmm(middle_BD + outer_b, hidden_BF, outer)
            if edit is not None:
                x_BD = edit(layer, token, x_BD)
            stream.append(x_BD)
        stream_KBD = torch.stack(stream)
        memory_BD = (weights.shares_K @ stream_KBD.flatten(1)).view(x_BD.shape)
        past.add(*remembered(memory_BD.unsqueeze(1), weights, heads))
        left.append(stream_KBD[1:])
        memories.append(memory_BD)
    return torch.stack(left, 1), torch.stack(memories)


def standardised(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the last dimension; zeros stay zeros."""
    return torch.layer_norm(x, x.shape[-1:], eps=EPS)


def remembered(memories_BWD: Tensor, weights: Folded, heads: int) -> tuple[Tensor, Tensor]:
    """The keys [R, A, N, W] and values [R, A, W, N] of memories."""
    B, W, D = memories_BWD.shape
    both = (standardised(memories_BWD) @ weights.remember_DM).view(B, W, 2, weights.readers, heads, D // heads)
    keys, values = both.permute(2, 3, 0, 4, 1, 5).flatten(2, 3).unbind()
    return keys.mT, values


def attended(query_A1N: Tensor, places_NS: Tensor, seen: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The attention [A, 1, S] and the value [A, 1, N] that it gathers.

    seen: the (keys, values) of at most S memories. Keys and values before the start are zeros: there the score is that
    of the distance alone, and attention gathers nothing.
    """
    sizes = [keys.shape[2] for keys, _ in seen]
    sizes.insert(0, places_NS.shape[1] - sum(sizes))
    blank, *places = (query_A1N @ places_NS).split_with_sizes(sizes, 2)
    scores = [torch.baddbmm(place, query_A1N, keys) for place, (keys, _) in zip(places, seen, strict=True)]
    attention_A1S = torch.cat([blank, *scores], 2).softmax(2)
    _, *parts = attention_A1S.split_with_sizes(sizes, 2)
    found = [torch.bmm(part, values) for part, (_, values) in zip(parts, seen, strict=True)]
    return attention_A1S, found[0] if len(found) == 1 else found[0] + found[1]
