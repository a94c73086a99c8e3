"""A datastore of contexts and the tokens that came next, searched exactly (kNN-LM, arXiv 1911.00172).

Shape suffixes: N queries, K keys, M neighbours of a query, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

COUNTED = 6.0
"""How many neighbours of the median query shall count where the temperature is chosen."""
HALVINGS = 48
"""Steps of the search for a temperature; they leave 1e-13 of its logarithm open."""
REACH = 30.0
"""Logarithms of the temperature are looked for so far below and above that of the largest difference of distances."""


def key(hidden_ND: Tensor) -> Tensor:
    """Hidden states as keys [N, D]: each with mean 0 and variance 1, in float32 at least.

    A squared distance of two keys is then about 2 D (1 - cosine), whatever the norms of the states.
    """
    precise_ND = hidden_ND.to(torch.promote_types(hidden_ND.dtype, torch.float32))
    return layer_norm(precise_ND, precise_ND.shape[-1:])


@dataclass(frozen=True)
class Datastore:
    """K contexts.

    key_KD: the keys. token_K: int64, what came next. place_K: int64, a number for where that token stands; contexts
    with the same place are followed by the same token because they are followed by the same text.
    """

    key_KD: Tensor
    token_K: Tensor
    place_K: Tensor

    def nearest(self, query_ND: Tensor, neighbours: int, place_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The nearest keys of each query, by squared Euclidean distance, the nearest first: (distances, tokens) [N, M].

        place_N: leave-one-out; a query does not see keys at its own place. M is `neighbours`, or what is left if less.
        Of equally near keys the one that was put in first comes first.

        Raises:
            ValueError: a query has no key left.
        """
        # without matrix products: |q|² - 2 q k + |k|² loses the digits by which near keys differ
        distance_NK = torch.cdist(query_ND, self.key_KD, compute_mode="donot_use_mm_for_euclid_dist").square()
        left = len(self.key_KD)
        if place_N is not None:
            same_NK = place_N[:, None] == self.place_K
            distance_NK = distance_NK.masked_fill(same_NK, torch.inf)
            left -= int(same_NK.sum(1).max())
        if left < 1:
            raise ValueError("a query has no neighbours: all keys are at its own place")
        distance_NK, index_NK = distance_NK.sort(dim=1, stable=True)
        count = min(neighbours, left)
        return distance_NK[:, :count], self.token_K[index_NK[:, :count]]


def weights(distance_NM: Tensor, temperature: float | Tensor) -> Tensor:
    """exp(-d / T), normalised over the neighbours: [N, M]."""
    return (-distance_NM / temperature).softmax(-1)


def counted(weight_NM: Tensor) -> Tensor:
    """How many neighbours count: exp of the entropy of their weights, 1 ... M, [N]."""
    return torch.special.entr(weight_NM).sum(-1).exp()


def chosen_temperature(distance_NM: Tensor) -> Tensor:
    """The T at which `COUNTED` neighbours of the median query count, or half of all where these are few; a scalar.

    distance_NM: the nearest first. The number that count never falls with T, so T is found by halving. Weights are then
    the same in whatever unit distances are. Where all neighbours of every query are equally near, T is 1: any would do.
    """
    gap_NM = distance_NM.double() - distance_NM[:, :1].double()
    wanted = min(COUNTED, (1 + gap_NM.shape[1]) / 2)
    largest = gap_NM.max()
    middle = torch.where(largest > 0, largest, 1.0).log()
    low, high = middle - REACH, middle + REACH
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = counted(weights(gap_NM, middle.exp())).median() > wanted
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return torch.where(largest > 0, middle.exp(), 1.0).to(distance_NM.dtype)


def distribution(token_NM: Tensor, weight_NM: Tensor, vocabulary: int) -> Tensor:
    """p(token): the sum of the weights of the neighbours that came before it, [N, V].

    Neighbour by neighbour: added at once, two that came before the same token would meet in no fixed order on a GPU.
    """
    p_NV = weight_NM.new_zeros(len(token_NM), vocabulary)
    for token_N1, weight_N1 in zip(token_NM.split(1, dim=1), weight_NM.split(1, dim=1), strict=True):
        p_NV.scatter_(1, token_N1, p_NV.gather(1, token_N1) + weight_N1)
    return p_NV
