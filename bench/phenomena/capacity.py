"""Capacity: how many bits of noise a network can hold per parameter, however much it is offered."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from phenomena.phenomenon import Found, Measures, Phenomenon, told
from phenomena.sequences import adamw, draws, nll, step, transformer

VOCABULARY, LENGTH = 32, 32


def run(
    steps: int = 2_500, offered: Sequence[float] = (3, 4.5, 6), width: int = 32, layers: int = 2, batch: int = 64
) -> Measures:
    """Uniform random tokens, as many as make so many bits per parameter; each network learns for as many steps."""
    kept = {bits: learn(bits, steps, width, layers, batch) for bits in offered}
    least, most = min(kept.values()), max(kept.values())
    return {
        **{
            f"bits per parameter kept of {bits:g} offered": Found(
                expected="2 to 4", measured=value, holds=2 <= value <= 4
            )
            for bits, value in kept.items()
        },
        "spread of the plateau, (most - least) / most": Found(
            expected="≤ 0.1", measured=(most - least) / most, holds=(most - least) / most <= 0.1
        ),
        "parameters": told(
            sum(p.numel() for p in transformer(VOCABULARY, width, layers, 2).parameters()), "20 to 100 k"
        ),
    }


def learn(bits: float, steps: int, width: int, layers: int, batch: int) -> float:
    """What a network has learned of its rows: (bits of uniform tokens - bits given the network) / parameters."""
    network, drawn = transformer(VOCABULARY, width, layers, 2), draws(1)
    parameters = sum(p.numel() for p in network.parameters())
    count = round(bits * parameters / math.log2(VOCABULARY) / LENGTH)
    # A first token that is always the same, so that all others can be known.
    rows_BT = torch.cat(
        [torch.zeros(count, 1, dtype=torch.int64), torch.randint(VOCABULARY, (count, LENGTH), generator=drawn)], dim=1
    )
    optimizer = adamw(network, 3e-3)
    for now in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, 4 * (1 - now / steps))
        chosen = torch.randint(count, (batch,), generator=drawn)
        step(optimizer, nll(network, rows_BT[chosen]).mean(), list(network.parameters()))
    with torch.no_grad():
        left = sum(float(nll(network, part).sum()) for part in rows_BT.split(256)) / math.log(2)
    return (count * LENGTH * math.log2(VOCABULARY) - left) / parameters


PHENOMENON = Phenomenon(
    title="Capacity",
    source="Morris et al. 2025, arXiv 2505.24832: about 3.6 bits per parameter",
    checked=(
        "Read: the abstract; their networks have 0.5 million to 1.5 billion parameters, so 2 to 4 bits for much "
        "smaller ones is a guess of this project."
    ),
    setup=(
        "Rows of 32 uniform tokens out of 32, of 3, 4.5 and 6 bits per parameter, for a transformer of width 32 "
        "with 2 layers."
    ),
    changed=(
        "2500 steps of 64 rows instead of 8000 of 128, which would take more than a quarter of an hour. A trial of "
        "4.5 bits alone, of this size, kept 2.16 bits per parameter after 42 seconds."
    ),
    holds=(
        "A network of this size has room for so many bits and no more: whether the pair fits many times over, and "
        "so need not be compressed, can be computed."
    ),
    fails=(
        "The networks did not keep as much as expected, or not the same of all amounts offered: after so many "
        "steps the plateau is not reached, and no limit should be read from it."
    ),
    run=run,
)
