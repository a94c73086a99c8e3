"""Tiny pairs with segments that say the same, and learners that read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from conftest import tiny

from resonance.learning.batch import Batch, batch
from resonance.learning.learner import Learner
from resonance.params import DIRECTIONS
from resonance.text.prompt import prompt
from resonance.text.tokens import Rows, Tokens

VOCABULARY = 48
MARKERS = ("[PAD]", "[BOS]", "[EOS]", "[SAME]", "[OTHER]", "[TO1]", "[TO2]", "[SEP]")
CLAUSES = {"1": (5, 4, 6), "2": (4, 7)}
"""Tokens of each clause; a token that belongs to none stands between two."""
LINKS = [(0, 1), (1, 1), (2, 0)]


def rows(clauses: Sequence[int] | None, length: int, windows: int, seed: int) -> Rows:
    """A text of random tokens, cut into windows between its clauses, or evenly where it has none."""
    ids = np.random.default_rng(seed).integers(len(MARKERS), VOCABULARY, length)
    segments, starts = np.full(length, -1), [0]
    for number, count in enumerate(clauses or ()):
        segments[starts[-1] : starts[-1] + count] = number
        starts.append(starts[-1] + count + 1)
    edges = starts[:-1] if clauses else range(0, length, -(-length // windows))
    cuts = np.array([*list(edges)[:windows], length])
    return Rows(ids, ids.astype(object), segments, np.zeros((length, 2), np.int64), cuts)


def pair(
    clauses: dict[str, tuple[int, ...]] | None = CLAUSES,
    links: list[tuple[int, int]] = LINKS,
    lengths: tuple[int, int] = (100, 130),
    windows: int = 1,
) -> Tokens:
    """Two texts. lengths: of both, where they have no clauses."""
    texts = {
        side: rows(clauses[side], sum(clauses[side]) + len(clauses[side]) - 1, windows, seed)
        if clauses
        else rows(None, lengths[seed], windows, seed)
        for seed, side in enumerate("12")
    }
    return Tokens(
        name="tiny",
        vocabulary=VOCABULARY,
        windows=windows,
        context=512,
        texts=("1", "2"),
        markers={name: [number] for number, name in enumerate(MARKERS)},
        links=links if clauses else [],
        anchors={},
        tokenizer="",
        notes=[],
        rows=texts,
        bytes={},
    )


def example(tokens: Tokens, direction: str = "1>2", window: int = 0) -> Batch:
    """One of the sequences that are trained on."""
    return batch(prompt(tokens, direction, "relation", window), direction, window, torch.device("cpu"))  # type: ignore[arg-type]


def examples(tokens: Tokens) -> list[Batch]:
    """A cycle."""
    return [example(tokens, direction) for direction in DIRECTIONS]


def learner(objective: object, tokens: Tokens | None = None, name: str = "gpt", **changes: object) -> Learner:
    """A tiny learner of that pair, the usual one unless another is given."""
    settings = tiny(name, objective=objective, **changes)
    return Learner(settings, VOCABULARY, seed=0, base=None, tokens=tokens or pair())


def awake(made: Learner) -> Learner:
    """The same with weights at which states differ: those of a fresh RWKV-7 hardly do."""
    noise = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.1)
    return made
