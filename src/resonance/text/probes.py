"""Probes made by code: the same words in another order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from resonance.text.pair import Pair

KEY = 7_030
"""Key of the shuffles, the same for every pair and every seed of a study."""

LONGEST_WORD = 20
"""Mean characters per word from which a text is taken to be written without spaces (Chinese, Japanese, Thai)."""


def with_shuffled(pair: Pair) -> Pair:
    """The pair with the probes 'shuffled-1' and 'shuffled-2': the words of each text in another order."""
    probes, notes = dict(pair.probes), list(pair.notes)
    for side, text in pair.texts.items():
        mixed = shuffled(text, int(side))
        if mixed == text:
            notes.append(f"text {side} is too short to be shuffled: there is no probe shuffled-{side}")
        else:
            probes[f"shuffled-{side}"] = mixed
    return replace(pair, probes=probes, notes=notes)


def shuffled(text: str, number: int) -> str:
    """Words in an order drawn by Philox with the key (KEY, number), joined by one space.

    A text written without spaces is shuffled by characters. The order is a sort of raw 64-bit draws, which no version
    of numpy changes.
    """
    words = text.split()
    joint = " "
    if len(words) * LONGEST_WORD < len(text):
        words, joint = list("".join(words)), ""
    draws = np.random.Philox(key=[KEY, number]).random_raw(len(words))
    return joint.join(words[place] for place in np.argsort(draws, kind="stable"))
