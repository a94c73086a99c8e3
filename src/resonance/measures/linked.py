"""Segments of the two texts that say the same: which, and their mean vectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from resonance.measures.vectors import Floats, Tokens

Link = tuple[int, int]


def one_to_one(links: Iterable[Link]) -> list[Link]:
    """The links, ascending, without those that use a segment of an earlier one again."""
    kept: list[Link] = []
    for article, meta in sorted(links):
        if all(article != i and meta != j for i, j in kept):
            kept.append((article, meta))
    return kept


def pooled(tokens: Tokens, segments: Sequence[int]) -> Floats:
    """Mean vector of each of these segments [segments, D]; a segment without a token is a ValueError."""
    masks = [tokens.segment == segment for segment in segments]
    if not all(mask.any() for mask in masks):
        missing = [segment for segment, mask in zip(segments, masks, strict=True) if not mask.any()]
        raise ValueError(f"no vector belongs to segment {missing[0]}")
    return np.stack([tokens.vectors[mask].mean(axis=0) for mask in masks])
