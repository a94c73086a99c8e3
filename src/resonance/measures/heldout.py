"""Which tokens teach a rotation and which ones judge it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.measures.procrustes import Fold
from resonance.measures.vectors import Tokens

LEAST = 20
"""Held-out tokens below which there is no verdict."""

Mask = NDArray[np.bool_]


def parts(tokens: Tokens) -> tuple[str, Mask, Mask] | None:
    """(what was held out, mask of the fit, mask of the held-out tokens).

    'probes': the fit is all of T1 and T2, the judges are tokens of probes. 'halves', where no probe has enough tokens:
    the fit is the first half of each text, the judges are in the second. Judges are always of token types that the
    fit has not seen. None where neither leaves 20 tokens.
    """
    trained = np.isin(tokens.text, ("1", "2"))
    first = trained & first_half(tokens)
    for name, fit, rest in (("probes", trained, ~trained), ("halves", first, trained & ~first)):
        judges = rest & unseen(tokens.token, fit)
        if judges.sum() >= LEAST and folds(tokens.take(fit)):
            return name, fit, judges
    return None


def folds(tokens: Tokens) -> list[Fold]:
    """Each half of the texts teaches, the new token types of the other half validate."""
    first = first_half(tokens)
    pairs = [(fit, ~fit & unseen(tokens.token, fit)) for fit in (first, ~first)]
    return [(np.flatnonzero(fit), np.flatnonzero(judges)) for fit, judges in pairs if judges.sum() > 1]


def unseen(token: NDArray[Any], fit: Mask) -> Mask:
    """Tokens of types that do not occur among those of the fit."""
    return ~np.isin(token, token[fit])


def first_half(tokens: Tokens) -> Mask:
    """Tokens in the first half of the positions of their text."""
    half = np.zeros(len(tokens), bool)
    for text in np.unique(tokens.text):
        own = tokens.text == text
        places = tokens.position[own].astype(float)
        half[own] = places < (places.min() + places.max() + 1) / 2
    return half
