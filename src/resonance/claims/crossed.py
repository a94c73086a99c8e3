"""A crossed design, every initialisation with every schedule once: how much of the variance is the schedule's?

Two-way random effects without replication, y_si = μ + schedule_s + initialisation_i + rest_si, S schedules in rows and
I initialisations in columns. Mean squares MS_S (S − 1 degrees of freedom), MS_I (I − 1), MS_E ((S − 1)(I − 1)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, f

Numbers = NDArray[np.float64]
DRAWS = 4_999
"""Permutations of the schedules that the observed order is compared with."""


@dataclass(frozen=True)
class Crossed:
    """The table [S, I] of one outcome, and its mean squares."""

    y_SI: Numbers
    schedules: float
    initialisations: float
    rest: float

    @classmethod
    def of(cls, y_SI: Numbers) -> Crossed:
        """Needs two rows and two columns at least."""
        s, i = y_SI.shape
        if min(s, i) < 2:
            raise ValueError(f"{s} schedules x {i} initialisations: two of each are needed")
        rows, columns = y_SI.mean(1) - y_SI.mean(), y_SI.mean(0) - y_SI.mean()
        left = y_SI - y_SI.mean() - rows[:, None] - columns
        means = (i * (rows @ rows) / (s - 1), s * (columns @ columns) / (i - 1), np.square(left).sum())
        return cls(y_SI, float(means[0]), float(means[1]), float(means[2]) / ((s - 1) * (i - 1)))

    def spread(self, level: float = 0.95) -> tuple[float, float, float]:
        """Standard deviation between schedules √((MS_S − MS_E) / I), 0 where negative, and its interval.

        Tukey and Williams (Williams 1962, Biometrika 49): with F = MS_S / MS_E and α = (1 − level) / 2,
        σ² is between MS_S (1 − F_{1−α} / F) / (I χ²_{1−α} / df) and the same with α. Covers `level` or more.
        """
        s, i = self.y_SI.shape
        df, df_rest = s - 1, (s - 1) * (i - 1)
        share = self.rest / self.schedules if self.schedules > 0 else inf
        alpha = (1 - level) / 2
        variances = [(self.schedules - self.rest) / i]
        for chance in (1 - alpha, alpha):
            kept = 1 - float(f.ppf(chance, df, df_rest)) * share
            variances.append(self.schedules * kept * df / (i * float(chi2.ppf(chance, df))) if kept > 0 else 0.0)
        value, low, high = (sqrt(max(0.0, variance)) for variance in variances)
        return value, low, high

    def share(self, level: float = 0.95) -> tuple[float, float, float]:
        """Share of the variance of one run that the schedule has, and its interval.

        It is the intraclass correlation ICC(2, 1) of Shrout & Fleiss 1979 (Psychol. Bull. 86), schedules in the role of
        targets and initialisations in that of judges, with their interval (Satterthwaite's degrees of freedom).
        """
        n, k = self.y_SI.shape
        targets, judges, rest = self.schedules, self.initialisations, self.rest
        total = targets + (k - 1) * rest + k * (judges - rest) / n
        if rest <= 0 or total <= 0:
            # Nothing is left over: the shares are those of the two main effects, and no interval is known.
            whole = n * targets + k * judges
            return (n * targets / whole if whole > 0 else 0.0), 0.0, 1.0
        icc, ratio = (targets - rest) / total, judges / rest
        other = n * (1 + (k - 1) * icc) - k * icc
        v = (k - 1) * (n - 1) * (k * icc * ratio + other) ** 2 / ((n - 1) * (k * icc * ratio) ** 2 + other**2)
        chance = (1 + level) / 2
        above, below = float(f.ppf(chance, n - 1, v)), float(f.ppf(chance, v, n - 1))
        mixed = k * judges + (k * n - k - n) * rest
        low = n * (targets - above * rest) / (above * mixed + n * targets)
        high = n * (below * targets - rest) / (mixed + n * below * targets)
        return max(0.0, icc), max(0.0, low), min(1.0, max(0.0, high))

    def p(self) -> float:
        """Chance of an MS_S as large if schedules were exchangeable: they are permuted within each initialisation.

        Exact up to the number of draws, from a generator of its own (Edgington 1995, Randomization Tests).
        """
        sums = np.take_along_axis(self.y_SI[None], _orders(*self.y_SI.shape), axis=1).sum(axis=2)
        seen = np.square(self.y_SI.sum(1)).sum()
        return float((1 + (np.square(sums).sum(1) >= seen - 1e-9 * abs(seen)).sum()) / (1 + DRAWS))


@cache
def _orders(schedules: int, initialisations: int) -> NDArray[np.intp]:
    """Orders of the schedules, drawn for each initialisation [DRAWS, S, I]."""
    draws = np.random.Generator(np.random.Philox(key=schedules * initialisations))
    return draws.random((DRAWS, schedules, initialisations)).argsort(axis=1)
