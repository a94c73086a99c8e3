"""Concepts of the pair, read back in: soft tokens that stand after every separator of a sequence.

Which concepts they are follows from the tokens before the separator alone, so nothing is seen ahead of its time. N is
the number of soft tokens of a row, S = T + N the length of a row with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from resonance.text.concepts import ConceptGraph

MOST = 256
"""Rankings that are kept; a study has a handful of different inputs, but free output may bring new ones for ever."""

Ranking = tuple[tuple[int, ...], tuple[float, ...]]
"""The best concepts, and the share of each in the sum of their ranks."""


@dataclass(frozen=True)
class Places:
    """Where the soft tokens of a batch stand, and what they are made of.

    order_BS: what stands at each place: t for token t, T + n for soft token n.
    kept_BT: the place at which each token is read; that of a separator is its last soft token.
    concepts_BN, shares_BN: the concept of each soft token and the number that it is multiplied by, on the CPU.
    """

    order_BS: Tensor
    kept_BT: Tensor
    concepts_BN: Tensor
    shares_BN: Tensor

    def inserted(self, tokens_BTD: Tensor, soft_BND: Tensor) -> Tensor:
        """Tokens and soft tokens in their order [B, S, D]."""
        return picked(torch.cat([tokens_BTD, soft_BND], 1), self.order_BS)

    def taken(self, x_BSD: Tensor) -> Tensor:
        """What is read of all places [B, T, D]."""
        return picked(x_BSD, self.kept_BT)

    def put(self, x_BSD: Tensor, taken_BTD: Tensor) -> Tensor:
        """All places, with those that are read replaced [B, S, D]."""
        return x_BSD.scatter(1, self.kept_BT.unsqueeze(-1).expand_as(taken_BTD), taken_BTD)


def picked(x_BSD: Tensor, places_BT: Tensor) -> Tensor:
    """x[b, places[b, t]]: [B, T, D]."""
    return x_BSD.gather(1, places_BT.unsqueeze(-1).expand(-1, -1, x_BSD.shape[-1]))


class SoftTokens(nn.Module):
    """`number` soft tokens after each separator, or as many as there are concepts; none before a pair was met.

    A soft token is A · share · (mean embedding of the concept's tokens), where A [D, D] is learned.
    """

    def __init__(self, number: int, width: int) -> None:
        super().__init__()
        self.number = number
        self.map = nn.Linear(width, width, bias=False)
        self.graph: ConceptGraph | None = None
        self.separators: tuple[tuple[int, ...], ...] = ()
        self.rankings: dict[tuple[int, ...], Ranking] = {}
        self.ids_CP: Tensor = torch.zeros(0, 0, dtype=torch.int64)
        self.parts_CP: Tensor = torch.zeros(0, 0)

    def reset(self) -> None:
        """The map starts as the identity."""
        nn.init.eye_(self.map.weight)

    def meet(self, graph: ConceptGraph, separators: Sequence[Sequence[int]]) -> None:
        """Take over the concepts of a pair. separators: the token ids of each of them."""
        self.graph, self.rankings = graph, {}
        self.separators = tuple(tuple(ids) for ids in separators)
        joined = [[token for piece in pieces for token in piece] for pieces in graph.pieces]
        longest = max((len(ids) for ids in joined), default=0)
        rests = [longest - len(ids) for ids in joined]
        self.ids_CP = torch.tensor([[*ids, *[0] * rest] for ids, rest in zip(joined, rests, strict=True)])
        self.parts_CP = torch.tensor(
            [[*[1 / len(ids)] * len(ids), *[0.0] * rest] for ids, rest in zip(joined, rests, strict=True)],
            dtype=torch.float64,
        )

    def places(self, tokens_BT: Tensor) -> Places | None:
        """The soft tokens of a batch, None where there are none.

        Raises ValueError where the rows do not hold the same number of separators, so that they would differ in length.
        """
        if self.graph is None or not self.graph.names:
            return None
        rows = [self._row(tuple(row)) for row in tokens_BT.tolist()]
        if len({len(concepts) for _, _, concepts, _ in rows}) > 1:
            raise ValueError("the rows of a batch hold different numbers of separators: pass them one by one")
        if not rows[0][2]:
            return None
        order, kept, concepts, shares = zip(*rows, strict=True)
        order_BS, kept_BT = (torch.tensor(x, device=tokens_BT.device) for x in (order, kept))
        return Places(order_BS, kept_BT, torch.tensor(concepts), torch.tensor(shares, dtype=torch.float64))

    def _row(self, row: tuple[int, ...]) -> tuple[list[int], list[int], list[int], list[float]]:
        """Order, kept, concepts and shares of one row, as in `Places`."""
        order: list[int] = []
        kept: list[int] = []
        concepts: list[int] = []
        shares: list[float] = []
        for place in range(len(row)):
            order.append(place)
            if length := self._separator_before(row, place + 1):
                best, weights = self.ranking(row[: place + 1 - length])
                order += range(len(row) + len(concepts), len(row) + len(concepts) + len(best))
                concepts += best
                shares += weights
            kept.append(len(order) - 1)
        return order, kept, concepts, shares

    def _separator_before(self, row: tuple[int, ...], end: int) -> int:
        """The length of the separator whose last token is row[end − 1]; 0 for none."""
        return next((len(ids) for ids in self.separators if row[max(0, end - len(ids)) : end] == ids), 0)

    def ranking(self, before: tuple[int, ...]) -> Ranking:
        """The best concepts by PageRank from those found in `before`; from all alike where none is found."""
        assert self.graph is not None, "no pair was met"
        if before not in self.rankings:
            if len(self.rankings) == MOST:
                self.rankings.clear()
            rank_C = self.graph.rank(self.graph.found(before))
            best = np.argsort(-rank_C, kind="stable")[: self.number]
            self.rankings[before] = tuple(best.tolist()), tuple((rank_C[best] / rank_C[best].sum()).tolist())
        return self.rankings[before]

    def forward(self, places: Places, embedding: nn.Embedding) -> Tensor:
        """The soft tokens [B, N, D]."""
        ids_BNP = self.ids_CP[places.concepts_BN].to(embedding.weight.device)
        parts_BNP = self.parts_CP[places.concepts_BN] * places.shares_BN.unsqueeze(-1)
        soft_BND: Tensor = self.map((embedding(ids_BNP) * parts_BNP.to(embedding.weight).unsqueeze(-1)).sum(-2))
        return soft_BND
