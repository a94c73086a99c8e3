"""Intervals and tests over units of replication, and corrections for having asked more than one question.

A unit is a seed (or a pair of texts); `values` hold one number per unit. Nothing here knows of cycles or layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Numbers = NDArray[np.float64]
EXACT = 20
"""Units up to which all 2ⁿ flips of signs are looked at."""
DRAWS = 9_999
"""Flips that are drawn where there are more units."""


def t_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high): mean ± t_{(1 + level)/2, n − 1} · s / √n (Student 1908); NaN bounds for fewer than 2 units.

    Not the percentile bootstrap: with 5 units that covers 83 % where 95 % is said (claims.md; tests simulate this one).
    """
    x = np.asarray(values, np.float64)
    if len(x) < 2:
        return float(x.mean()) if len(x) else nan, nan, nan
    half = float(stats.t.ppf((1 + level) / 2, len(x) - 1)) * float(x.std(ddof=1)) / sqrt(len(x))
    return float(x.mean()), float(x.mean()) - half, float(x.mean()) + half


def t_test(values: ArrayLike) -> float:
    """Two-sided p of Student's one-sample test of mean 0; 0 or 1 where nothing varies, NaN for fewer than 2 units."""
    x = np.asarray(values, np.float64)
    if len(x) < 2:
        return nan
    spread = float(x.std(ddof=1))
    if spread <= 1e-12 * float(np.abs(x).max()):
        return float(not np.abs(x).any())
    return float(2 * stats.t.sf(abs(x.mean()) / (spread / sqrt(len(x))), len(x) - 1))


def sign_flip(values: ArrayLike) -> float:
    """Two-sided p of the sign-flip test of "symmetric about 0" (Fisher 1935): the share of flips with a sum as large.

    Exact over all 2ⁿ flips for n ≤ 20, so never below 2/2ⁿ; beyond, over 9,999 drawn flips and the observed one.
    """
    x = np.asarray(values, np.float64)
    if not len(x):
        return nan
    if len(x) > EXACT:
        draws = np.random.Generator(np.random.Philox(key=len(x)))
        flips = draws.integers(0, 2, (DRAWS, len(x)), np.int8) @ (2 * x) - x.sum()
        sums = np.append(flips, x.sum())
    else:
        # A flip and its mirror image have the same size, so the first sign may stand still.
        sums = x[:1]
        for each in x[1:]:
            sums = np.concatenate([sums + each, sums - each])
    # Sums that differ by rounding alone are equal.
    return float((np.abs(sums) >= abs(x.sum()) - 1e-9 * np.abs(x).sum()).mean())


def equivalence(values: ArrayLike, sesoi: float) -> float:
    """p of two one-sided t tests (TOST, Schuirmann 1987) that the mean lies inside ±sesoi.

    p ≤ 0.05 says the same as: the 90 % t interval lies inside ±sesoi. NaN for fewer than 2 units.
    """
    x = np.asarray(values, np.float64)
    if len(x) < 2:
        return nan
    error = float(x.std(ddof=1)) / sqrt(len(x))
    gaps = np.array([sesoi - x.mean(), sesoi + x.mean()])
    scores = gaps / error if error > 0 else np.where(gaps > 0, inf, -inf)
    return float(stats.t.sf(scores, len(x) - 1).max())


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p of Holm 1979 (Scand. J. Stat. 6): all below α together err at all with chance α at most."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = least
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p of Benjamini & Hochberg 1995 (J. R. Stat. Soc. B 57): of those below α, a share α at most is false."""
    order = sorted(range(len(p)), key=lambda i: p[i], reverse=True)
    adjusted, most = [0.0] * len(p), 1.0
    for rank, i in enumerate(order):
        most = min(most, len(p) / (len(p) - rank) * p[i])
        adjusted[i] = most
    return adjusted


def units_needed(distance: float, spread: float, level: float = 0.95, most: int = 1000) -> int | None:
    """Least n ≥ 2 for which t_{(1 + level)/2, n − 1} · spread / √n < |distance|; None: more than `most`.

    A rough guide: it takes the mean and the spread that were seen for the true ones.
    """
    n = np.arange(2, most + 1)
    enough = n[stats.t.ppf((1 + level) / 2, n - 1) * spread / np.sqrt(n) < abs(distance)]
    return int(enough[0]) if len(enough) else None


def slope(dose: ArrayLike, outcome: ArrayLike) -> float:
    """Least-squares slope of outcome on log2 dose: what one doubling of the dose does."""
    x = np.log2(np.asarray(dose, np.float64))
    x = x - x.mean()
    return float(x @ np.asarray(outcome, np.float64) / (x @ x))
