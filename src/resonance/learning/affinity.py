"""How alike the states of a set are: cosines of all with all."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from resonance.learning.divergence import precise


def cosines(vector_ND: Tensor) -> Tensor:
    """The cosine of every vector with every other [N, N], in float32 at least; 0 with one that is zero."""
    unit_ND = normalize(precise(vector_ND), dim=-1)
    return unit_ND @ unit_ND.T


def mean_of_others(values_NN: Tensor) -> Tensor:
    """The mean over all places off the diagonal: of cosines, 0 where directions are even, 1 where all are one."""
    count = len(values_NN)
    itself_NN = torch.eye(count, dtype=torch.bool, device=values_NN.device)
    return values_NN.masked_fill(itself_NN, 0).sum() / (count * (count - 1))


def mean_where(values_NN: Tensor, mask_NN: Tensor) -> Tensor:
    """The mean of the values at the places of a mask; not a number where there are none."""
    return (values_NN * mask_NN).sum() / mask_NN.sum()
