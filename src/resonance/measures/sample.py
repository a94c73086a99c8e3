"""Which tokens are looked at, and what is drawn by chance: the same for every learner and on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from resonance.measures.vectors import Tokens

MOST_TOKENS = 1024
"""Texts with more tokens are compared on so many, evenly spaced: the same ones for every learner."""

Key = tuple[object, ...]
"""What a random draw belongs to: run, cycle, layer, ..."""


def trained(tokens: Tokens) -> Iterator[tuple[str, str, NDArray[np.intp]]]:
    """Direction, side and places of each text in each direction, at most MOST_TOKENS; probes are left out."""
    for direction in np.unique(tokens.direction[tokens.direction != "probe"].astype(str)).tolist():
        for side in ("input", "target"):
            places = np.flatnonzero((tokens.direction == direction) & (tokens.side == side))
            yield direction, side, evenly(places, MOST_TOKENS)


def evenly(places: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most so many of the places, evenly spaced."""
    return places if len(places) <= most else places[np.linspace(0, len(places) - 1, most).astype(int)]


def generator(*key: object) -> np.random.Generator:
    """A generator of its own for every key, the same on every machine."""
    digest = sha256("\0".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
