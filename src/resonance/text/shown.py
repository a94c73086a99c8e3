"""The two texts as a learner is shown them: as they are written, or changed in one way, as a control.

Every draw is of Philox with the key (seed of all draws here, purpose), so that no version of numpy changes it and every
learner, seed and study is shown the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resonance import params
from resonance.errors import UserError
from resonance.text.tokens import Ids, Tokens

KEY = 7_031
FOLDS, CLAUSES, NAMES = 1, 2, 3
"""Purposes of the draws."""


class Shown(NamedTuple):
    """Tokens of INPUT and TARGET of one direction."""

    input: Ids
    target: Ids


def shown(tokens: Tokens, settings: params.Member, direction: params.Direction, window: int, version: int = 0) -> Shown:
    """What stands in the place of both texts in one direction; see `params.shown`.

    version: 0 to `versions(settings)` − 1.

    Raises:
        UserError: a control of a pair that has windows, or of one that lacks what the control is made of.
    """
    texts = (*direction.split(">"),)
    if isinstance(settings, params.AsWritten):
        return Shown(*(tokens.ids(text, window) for text in texts))
    if tokens.windows > 1:
        raise UserError(
            f"shown: {settings.tag} is made for pairs that fit the context, but {tokens.name} has {tokens.windows} "
            "windows: choose a shorter pair or a longer text.context, or leave `shown` out."
        )
    if isinstance(settings, params.Hidden):
        return Shown(*without_hidden(tokens, settings, texts))
    return Shown(*(_text(tokens, settings, text, version) for text in texts))


def versions(settings: params.Member) -> int:
    """How many versions of the pair there are; cycle c shows number (c − 1) mod that."""
    return settings.count if isinstance(settings, params.Versions) else 1


def _text(tokens: Tokens, settings: params.Member, text: str, version: int) -> Ids:
    """One text as it is shown, whatever the direction."""
    match settings:
        case params.Versions():
            return renamed(tokens, text, version)
        case params.Foreign():
            return _probe(tokens, settings, "unrelated")
        case params.ShuffledMeta() if text == "2":
            return _probe(tokens, settings, "shuffled-2")
        case params.UnrelatedMeta() if text == "2":
            return _probe(tokens, settings, "unrelated")
        case params.DerangedMeta() if text == "2":
            return deranged(tokens, settings, text)
    return tokens.ids(text)


def _probe(tokens: Tokens, settings: params.Member, name: str) -> Ids:
    """A probe, as long as the meta-analysis at most, so that what is shown stays as long as it was."""
    if name not in tokens.texts:
        raise UserError(f"shown: {settings.tag} needs the probe {name}, which {tokens.name} does not have.")
    return tokens.ids(name)[: len(tokens.ids("2"))]


def hidden_links(links: Sequence[tuple[int, int]], settings: params.Hidden) -> list[tuple[int, int]]:
    """The links of one part. Links that share a clause stay together, so that a hidden clause is hidden everywhere."""
    groups = grouped(links)
    order = _order(FOLDS, len(groups))
    chosen = [groups[place] for place in order[settings.fold :: settings.folds]]
    return sorted(link for group in chosen for link in group)


def grouped(links: Iterable[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Links in groups that share no clause, each in order."""
    groups: list[list[tuple[int, int]]] = []
    for link in sorted(links):
        touching = [group for group in groups if any(link[0] == i or link[1] == j for i, j in group)]
        groups = [group for group in groups if group not in touching]
        groups.append(sorted([link, *(other for group in touching for other in group)]))
    return sorted(groups)


def without_hidden(tokens: Tokens, settings: params.Hidden, texts: Sequence[str]) -> list[Ids]:
    """Both texts of a direction; where they differ, without the clauses of the hidden links."""
    if not tokens.links:
        raise UserError(f"shown: hidden needs links, which {tokens.name} does not have: write its segments.yaml.")
    if texts[0] == texts[1]:
        return [tokens.ids(text) for text in texts]
    hidden = hidden_links(tokens.links, settings)
    sides = {"1": [i for i, _ in hidden], "2": [j for _, j in hidden]}
    return [tokens.ids(text)[~np.isin(tokens.segments(text), sides[text])] for text in texts]


def deranged(tokens: Tokens, settings: params.Member, text: str) -> Ids:
    """The clauses of a text in another order, none of them at its own place."""
    segments = tokens.segments(text)
    number = int(segments.max(initial=-1)) + 1
    if number < 3:
        raise UserError(f"shown: {settings.tag} needs clauses, which {tokens.name} does not have: see segments.yaml.")
    clause = np.maximum.accumulate(np.maximum(segments, 0))
    order = derangement(number)
    return np.concatenate([tokens.ids(text)[clause == place] for place in order])


@cache
def derangement(number: int) -> tuple[int, ...]:
    """The first of a row of drawn permutations that leaves nothing at its place and no two neighbours together."""
    for attempt in range(10_000):
        order = _order(CLAUSES + 1000 * attempt, number)
        if (order != np.arange(number)).all() and (number < 5 or (np.diff(order) != 1).all()):
            return tuple(order.tolist())
    raise ValueError(f"no derangement of {number} was found")


def renamed(tokens: Tokens, text: str, version: int) -> Ids:
    """A text in which names and numbers have changed places with others of their kind and length, alike in both texts.

    Version 0 is the text as it is written.
    """
    new = tokens.ids(text).copy()
    if version:
        for names in kinds(tokens):
            order = _order(NAMES + 1000 * version, len(names))
            for name, other in zip(names, (names[place] for place in order), strict=True):
                start, stop = site(tokens, name, text)
                new[start:stop] = _name(tokens, other, text)
    return new


def kinds(tokens: Tokens) -> list[list[str]]:
    """Anchors that may stand for each other: numbers with numbers, names with names, of equal length in both texts."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for anchor in sorted(tokens.anchors):
        lengths = [stop - start for start, stop in (site(tokens, anchor, text) for text in "12")]
        groups.setdefault((any(map(str.isdigit, anchor)), *lengths), []).append(anchor)
    return [group for group in groups.values() if len(group) > 1]


def site(tokens: Tokens, anchor: str, text: str) -> tuple[int, int]:
    """First token and stop token of the first place of an anchor in a text."""
    start, stop = tokens.anchors[anchor][text][0]
    return start, stop


def _name(tokens: Tokens, anchor: str, text: str) -> Ids:
    return tokens.ids(text)[slice(*site(tokens, anchor, text))]


def _order(purpose: int, length: int) -> NDArray[np.int64]:
    draws: Callable[[int], NDArray[np.uint64]] = np.random.Philox(key=[KEY, purpose]).random_raw
    return np.argsort(draws(length), kind="stable")
