"""Inputs with faults of a known kind and rate, so that a learner that knows its texts by heart still makes errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from resonance.learning.batch import Batch
from resonance.learning.moment import generator

KINDS = ("replaced", "dropped")
PERCENT = (5, 15, 30)
SEED = 0
"""Faults are the same for every learner, every seed and every mark of a study."""


def corrupted(batch: Batch, blank: int) -> Iterator[Batch]:
    """The same target, asked of inputs with faults: condition `corrupted:<kind>-<percent>`, the same length.

    Each input token is hit with that chance, the same ones at a lower rate as at a higher one. `replaced`: by another
    token of the same input, drawn by its frequency there; `dropped`: by `blank`, the empty word, so that all else
    stays in its place.
    """
    assert batch.input is not None
    input_T = batch.tokens_BT[0, batch.input]
    for kind in KINDS:
        draws = generator(SEED, "corruption", kind, batch.direction, batch.window)
        chance_T = torch.rand(len(input_T), generator=draws).to(input_T.device)
        faulty_T = others(input_T, draws) if kind == "replaced" else torch.full_like(input_T, blank)
        for percent in PERCENT:
            read_T = torch.where(chance_T < percent / 100, faulty_T, input_T)
            yield replace(batch.asked(read_T[None]), condition=f"corrupted:{kind}-{percent}")


def others(tokens_T: Tensor, draws: torch.Generator) -> Tensor:
    """For each token one that stands elsewhere in the text and is another one; itself where all are the same."""
    differs_TT = tokens_T[:, None] != tokens_T[None]
    chance_TT = torch.rand(differs_TT.shape, generator=draws).to(tokens_T.device)
    return tokens_T[torch.where(differs_TT, chance_TT, -1).argmax(1)] if len(tokens_T) else tokens_T
