"""Inputs that tell reading from reciting: blank, shuffled, edited.

In all three the first `kept` tokens stay as they are: they carry the one bit that says which of the two texts it is.
Draws are raw numbers of Philox with the key (seed, purpose), so that no version of numpy changes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resonance.text.tokens import Ids

SHUFFLE, SITES, TOKENS = 1, 2, 3
"""Purposes of the draws."""


def blank(ids: Ids, kept: int, blank_id: int) -> Ids:
    """Every token after the first `kept` replaced by the empty word; int64 [T]."""
    new = ids.copy()
    new[kept:] = blank_id
    return new


def shuffled(ids: Ids, kept: int, seed: int) -> Ids:
    """The tokens after the first `kept` in another order; int64 [T]."""
    rest = ids[kept:]
    return np.concatenate([ids[:kept], rest[_order(seed, SHUFFLE, len(rest))]])


def edited(ids: Ids, kept: int, edits: int, seed: int) -> tuple[Ids, NDArray[np.int64]]:
    """Replace isolated tokens by other tokens of the same text that are about as frequent.

    Up to `edits` sites, none among the first `kept`, no two adjacent; fewer where the text is too short (every set of
    that many sites is equally likely). Each token there gives way to another one whose count in the text is nearest on
    a log scale, drawn among equals. Returns the new tokens, int64 [T], and the sites in order.
    """
    new = ids.copy()
    vocabulary, counts = np.unique(ids, return_counts=True)
    room = len(ids) - kept
    number = max(0, min(edits, (room + 1) // 2))
    if len(vocabulary) < 2 or number == 0:
        return new, np.empty(0, dtype=np.int64)
    # places among room - number + 1, spread by one each, are places among `room` of which no two touch
    sites = kept + np.sort(_order(seed, SITES, room - number + 1)[:number]) + np.arange(number)
    frequency = np.log(counts)
    draws = _draws(seed, TOKENS, number * len(vocabulary)).reshape(number, -1)
    for site, draw in zip(sites, draws, strict=True):
        original = np.searchsorted(vocabulary, ids[site])
        distance = np.abs(frequency - frequency[original])
        distance[original] = np.inf
        new[site] = vocabulary[np.lexsort((draw, distance))[0]]
    return new, sites


def _order(seed: int, purpose: int, length: int) -> NDArray[np.int64]:
    return np.argsort(_draws(seed, purpose, length), kind="stable")


def _draws(seed: int, purpose: int, number: int) -> NDArray[np.uint64]:
    return np.random.Philox(key=np.array([seed, purpose], dtype=np.uint64)).random_raw(number)
