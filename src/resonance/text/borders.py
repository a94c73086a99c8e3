"""Where a text may be cut: between segments, sentences, words, characters; as coarse as the windows allow."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from resonance.text.segments import Span
from resonance.text.tokenizer import Encoded

Borders = NDArray[np.int64]
"""Token positions in order; the first is 0, the last is the number of tokens."""

SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*|\n+")
WORD_END = re.compile(r"\S(?=\s)")


def levels(text: str, encoded: Encoded, segments: list[Span]) -> list[Borders]:
    """Borders from coarse to fine: segments (where there are any), sentences, words, characters."""
    starts = np.array([start for start, _ in encoded.offsets], dtype=np.int64)
    stops = np.array([stop for _, stop in encoded.offsets], dtype=np.int64)
    # a token that starts before the one before it has ended is a part of the same character
    whole = np.flatnonzero(starts[1:] >= stops[:-1]) + 1

    def at(characters: list[int]) -> Borders:
        """The first token at or after each character, where that token begins a character."""
        tokens = np.searchsorted(starts, np.array(characters, dtype=np.int64))
        return _closed(np.intersect1d(tokens, whole), len(starts))

    found = [at([span.stop for span in segments])] if segments else []
    for pattern in (SENTENCE_END, WORD_END):
        found.append(at([match.end() for match in pattern.finditer(text)]))
    return [*found, _closed(whole, len(starts))]


def refine(found: list[Borders], longest: int, least: int) -> Borders:
    """The coarsest borders between which no stretch is longer than `longest` tokens and which leave `least` stretches.

    Only stretches that are too long are cut at the next finer level; all are, where there are fewer than `least`.
    The result may still miss the aim where the finest level does; the caller looks.
    """
    borders = found[0]
    for finer in found[1:]:
        if len(borders) - 1 < least:
            borders = np.union1d(borders, finer)
        else:
            place = np.searchsorted(borders, finer, side="right") - 1
            too_long = np.append(np.diff(borders) > longest, False)
            borders = np.union1d(borders, finer[too_long[place]])
    return borders


def _closed(tokens: NDArray[np.int64], length: int) -> Borders:
    return np.union1d(tokens, [0, length])
