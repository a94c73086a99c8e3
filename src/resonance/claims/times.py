"""How long until: the first mark at which a share is reached. Not reached is censored (infinite), never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

import pandas as pd
from scipy import stats


def first_mark(curve: pd.Series[float], share: float) -> float:
    """The first cycle at which the curve (index: cycles, ascending) is at `share` or above; infinite: at none.

    The mark itself, nothing between marks: accuracy may jump there, and an interpolated time would be invented.
    """
    reached = curve.index[curve >= share]
    return float(reached[0]) if len(reached) else inf


class Signs(NamedTuple):
    """How many pairs are earlier in the first arm, later in it, or not told apart; p: two-sided sign test."""

    earlier: int
    later: int
    ties: int
    p: float


def compare_times(first: Sequence[float], second: Sequence[float]) -> Signs:
    """Paired times, some censored at the same end: the sign test (Dixon & Mood 1946, J. Am. Stat. Assoc. 41).

    A pair with one time censored is ordered all the same, and more than the order nobody knows: a t test of logarithms
    would need the times, a rank test the sizes of the differences. Pairs in which both are censored, or equal, are ties
    and count half for each side, against a difference, instead of being left out.
    """
    earlier = sum(a < b for a, b in zip(first, second, strict=True))
    later = sum(a > b for a, b in zip(first, second, strict=True))
    n = len(first)
    ties = n - earlier - later
    if not n:
        return Signs(0, 0, 0, 1.0)
    return Signs(earlier, later, ties, float(stats.binomtest(max(earlier, later) + ties // 2, n).pvalue))
