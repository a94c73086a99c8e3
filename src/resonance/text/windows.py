"""Both texts in the same number of windows, so that every sequence fits the context.

Every direction joins window w of one text with window w of a text (the same or the other), so a sequence is at most
twice the longest window plus the markers: each window may hold `limit = (context - markers) // 2` tokens.

How the cuts are found: the longer text is cut as evenly as its borders allow, the other one where most links stay on
the same side of each cut (evenly, where there are no links). Then a dynamic programme over the borders near those cuts
(REACH on either side) chooses both texts' cuts together. Its score is the number of links whose two segments begin in
the same window, and among equals the most even lengths. With B = 2 REACH + 1 borders per cut it takes W · B⁴ steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resonance.errors import UserError
from resonance.text.borders import Borders, levels, refine
from resonance.text.pair import Pair
from resonance.text.segments import SIDES
from resonance.text.tokenizer import Encoded

REACH = 6
"""Borders before and after a first cut that the programme tries."""

Cuts = NDArray[np.int64]
"""Token positions where windows begin, then the number of tokens: W + 1 numbers."""


def limit(markers: Mapping[str, list[int]], context: int) -> int:
    """Most tokens of a window, so that [BOS] a [DIR] b [EOS] fits `context` for any two windows a and b."""
    separator = max(len(markers[name]) for name in ("[SAME]", "[OTHER]", "[TO1]", "[TO2]", "[SEP]"))
    taken = len(markers["[BOS]"]) + separator + len(markers["[EOS]"])
    if context - taken < 2:
        raise UserError(
            f"params.yaml: text.context is {context}, of which the markers of this tokenizer take {taken}; "
            f"set it to {taken + 2} or more."
        )
    return (context - taken) // 2


def cut_windows(pair: Pair, encoded: Mapping[str, Encoded], longest: int) -> dict[str, Cuts]:
    """Cut both texts into the same, smallest number of windows of at most `longest` tokens.

    encoded: the texts '1' and '2' as tokens. Raises UserError where no cut can do it: a character has more tokens
    than a window holds, or the shorter text has fewer characters than the longer one needs windows.
    """
    found = {side: levels(pair.texts[side], encoded[side], pair.segments.get(side, [])) for side in SIDES}
    borders = {side: refine(found[side], longest, 1) for side in SIDES}
    for side, name in SIDES.items():
        if np.diff(borders[side]).max() > longest:
            raise UserError(
                f"{pair.name}: a single character of {name}.txt takes {np.diff(borders[side]).max()} tokens, but a "
                f"window holds {longest}; set text.context in params.yaml higher."
            )
    count = max(_fewest(borders[side], longest) for side in SIDES)
    for side, name in SIDES.items():
        if len(borders[side]) - 1 < count:
            borders[side] = refine(found[side], longest, count)
        if len(borders[side]) - 1 < count:
            raise UserError(
                f"{pair.name}: the texts need {count} windows of {longest} tokens, but {name}.txt has only "
                f"{len(borders[side]) - 1} characters to share among them; set text.context in params.yaml higher, "
                f"or write a longer {name}.txt."
            )
    cuts = best_cuts(borders["1"], borders["2"], count, longest, _links(pair, encoded))
    return dict(zip(SIDES, cuts, strict=True))


def _links(pair: Pair, encoded: Mapping[str, Encoded]) -> NDArray[np.int64]:
    """[N, 2]: for each link the tokens at which its two segments begin."""
    starts = {side: np.array([start for start, _ in encoded[side].offsets]) for side in SIDES}

    def begins(side: str, segment: int) -> int:
        # as for borders: white space before a segment belongs to it
        after = pair.segments[side][segment - 1].stop if segment else 0
        return int(np.searchsorted(starts[side], after))

    return np.array([[begins("1", a), begins("2", b)] for a, b in pair.links], dtype=np.int64).reshape(-1, 2)


def _furthest(borders: Borders, longest: int) -> list[int]:
    """Index of the furthest border that 0, 1, 2, ... windows from the start can reach."""
    reached = [0]
    while reached[-1] < len(borders) - 1:
        reached.append(int(np.searchsorted(borders, borders[reached[-1]] + longest, side="right")) - 1)
    return reached


def _fewest(borders: Borders, longest: int) -> int:
    return len(_furthest(borders, longest)) - 1


class Side(NamedTuple):
    """One text before the choice: for every cut 0 ... W a first border (by index), and those that are tried."""

    borders: Borders
    path: list[int]
    tried: list[NDArray[np.int64]]
    longest: int

    def unevenness(self, cut: int) -> NDArray[np.float64]:
        """[tried before, tried here]: squared deviation from the even length, at most 1; inf where not allowed."""
        length = self.borders[self.tried[cut]] - self.borders[self.tried[cut - 1]][:, None]
        even = self.borders[-1] / (len(self.tried) - 1)
        allowed = (length > 0) & (length <= self.longest)
        return np.where(allowed, ((length - even) / self.longest) ** 2, np.inf)


def _side(borders: Borders, count: int, longest: int, wished: NDArray[np.int64] | NDArray[np.float64]) -> Side:
    """First cuts as near to the wished ones (tokens, [W + 1]) as can be, and the borders around them.

    Every border tried lies on some cut of the whole text into `count` windows, none of them empty or too long.
    """
    last = len(borders) - 1
    ahead = _furthest(borders, longest)
    behind = _furthest(borders[-1] - borders[::-1], longest)
    # cut w: reachable from the start with w windows, and the end from it with W - w
    high = [min(ahead[min(cut, len(ahead) - 1)], last - (count - cut)) for cut in range(count + 1)]
    low = [max(last - behind[min(count - cut, len(behind) - 1)], cut) for cut in range(count + 1)]
    path = [0]
    for cut in range(1, count + 1):
        furthest = int(np.searchsorted(borders, borders[path[-1]] + longest, side="right")) - 1
        choice = np.arange(max(low[cut], path[-1] + 1), min(high[cut], furthest) + 1)
        path.append(int(choice[np.argmin(np.abs(borders[choice] - wished[cut]))]))
    tried = [
        np.arange(max(low[cut], path[cut] - REACH), min(high[cut], path[cut] + REACH) + 1) for cut in range(count + 1)
    ]
    return Side(borders, path, tried, longest)


def _even(borders: Borders, count: int) -> NDArray[np.float64]:
    return np.linspace(0, borders[-1], count + 1)


def _matching(side: Side, borders: Borders, links: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every first cut of one text the border of the other with most links on the same side of both.

    links: [N, 2], the text that is cut first. Among equals the border nearest to an even cut.
    """
    count = len(side.path) - 1
    wished = []
    for cut, even in zip(side.borders[side.path], _even(borders, count), strict=True):
        before, after = np.sort(links[links[:, 0] < cut, 1]), np.sort(links[links[:, 0] >= cut, 1])
        agree = np.searchsorted(before, borders) + len(after) - np.searchsorted(after, borders)
        wished.append(borders[np.lexsort((np.abs(borders - even), -agree))[0]])
    return np.array(wished)


def best_cuts(
    borders_1: Borders, borders_2: Borders, count: int, longest: int, links: NDArray[np.int64]
) -> tuple[Cuts, Cuts]:
    """The cuts of both texts with the most links inside windows, and among those the most even lengths.

    links: [N, 2] tokens at which linked segments begin. `count` windows must be possible for each text.
    """
    if borders_1[-1] < borders_2[-1]:
        cuts_2, cuts_1 = best_cuts(borders_2, borders_1, count, longest, links[:, ::-1])
        return cuts_1, cuts_2
    one = _side(borders_1, count, longest, _even(borders_1, count))
    two = _side(borders_2, count, longest, _matching(one, borders_2, links))
    score = np.zeros((1, 1))
    came_from = []
    for cut in range(1, count + 1):
        # axes: before in text 1, before in text 2, here in text 1, here in text 2
        uneven = one.unevenness(cut)[:, None, :, None] + two.unevenness(cut)[None, :, None, :]
        # all terms of all windows sum to at most 2 W, so that evenness never outweighs a link
        total = score[:, :, None, None] + _inside(one, two, cut, links) - uneven / (2 * count + 1)
        flat = total.reshape(-1, *total.shape[2:])
        came_from.append(flat.argmax(axis=0))
        score = flat.max(axis=0)
    path = [(0, 0)]
    for cut in range(count, 0, -1):
        before = came_from[cut - 1][path[-1]]
        path.append((int(before) // len(two.tried[cut - 1]), int(before) % len(two.tried[cut - 1])))
    path.reverse()
    return (
        np.array([borders_1[one.tried[cut][a]] for cut, (a, _) in enumerate(path)]),
        np.array([borders_2[two.tried[cut][b]] for cut, (_, b) in enumerate(path)]),
    )


def _inside(one: Side, two: Side, cut: int, links: NDArray[np.int64]) -> NDArray[np.float64]:
    """[before 1, before 2, here 1, here 2]: links whose both ends lie between the cut before and this one."""

    def below(first: int, second: int) -> NDArray[np.float64]:
        """[tried in 1, tried in 2]: links that begin before both borders."""
        in_one = links[:, 0] < one.borders[one.tried[first]][:, None]
        in_two = links[:, 1] < two.borders[two.tried[second]][:, None]
        return in_one.astype(np.float64) @ in_two.astype(np.float64).T

    before = cut - 1
    return (
        below(cut, cut)[None, None, :, :]
        - below(before, cut)[:, None, None, :]
        - below(cut, before).T[None, :, :, None]
        + below(before, before)[:, :, None, None]
    )
