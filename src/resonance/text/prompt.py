"""The one form of every sequence: [BOS] INPUT [DIR] TARGET [EOS]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from resonance.params import DIRECTIONS, Direction, Marker
from resonance.text.tokens import Ids, Tokens


@dataclass(frozen=True)
class Prompt:
    """A sequence and its parts.

    tokens: int64 [T].
    input: positions of INPUT, without [BOS].
    target: positions of TARGET and [EOS], the tokens whose loss counts; the logits that predict them stand one earlier.
    end: number of tokens of [EOS].
    """

    tokens: Ids
    input: slice
    target: slice
    end: int


def separator(direction: Direction, marker: Marker) -> str:
    """The name of the marker between input and target: what it tells is the learner's choice."""
    source, target = direction.split(">")
    match marker:
        case "relation":
            return "[SAME]" if source == target else "[OTHER]"
        case "target":
            return f"[TO{target}]"
        case "none":
            return "[SEP]"
    raise ValueError(f"marker {marker!r} is not one of relation, target, none")


def prompt(
    tokens: Tokens,
    direction: Direction,
    marker: Marker,
    window: int = 0,
    input_ids: ArrayLike | None = None,
    target_ids: ArrayLike | None = None,
) -> Prompt:
    """The sequence of one direction and one window.

    input_ids, target_ids: tokens [T] that stand in for the text of that side (counterfactuals, probes, outputs).
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction {direction!r} is not one of {', '.join(DIRECTIONS)}")
    source, target = direction.split(">")
    parts = [
        tokens.markers["[BOS]"],
        tokens.ids(source, window) if input_ids is None else input_ids,
        tokens.markers[separator(direction, marker)],
        tokens.ids(target, window) if target_ids is None else target_ids,
        tokens.markers["[EOS]"],
    ]
    arrays = [np.asarray(part, dtype=np.int64) for part in parts]
    ends = np.cumsum([len(array) for array in arrays]).tolist()
    return Prompt(np.concatenate(arrays), slice(ends[0], ends[1]), slice(ends[2], ends[4]), len(arrays[4]))
