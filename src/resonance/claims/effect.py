"""One number per unit, put together, and what it must lie beyond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from resonance.claims import statistics
from resonance.claims.claim import Direction
from resonance.claims.crossed import Crossed

CONFIRMATORY = 7
"""Least units of a primary claim: with three of them under Holm p must reach 0.05 / 3, and 2 / 2⁷ is below it."""


@dataclass(frozen=True)
class Effect:
    """One number per unit, put together.

    Attributes:
        value: their mean.
        low, high: its 95 % interval. least, most: its 90 % interval, which is the one of equivalence at 5 %.
        p: exact two-sided sign-flip test against the bound. p_t: Student's.
        n: units. needed: units without which a primary claim has no verdict.
        spread: standard deviation over units. values: the numbers themselves.
    """

    value: float
    low: float
    high: float
    least: float
    most: float
    p: float
    p_t: float
    n: int
    needed: int = CONFIRMATORY
    spread: float = 0.0
    values: tuple[float, ...] = ()

    @classmethod
    def between(cls, table: Crossed, read: Callable[[float], tuple[float, float, float]]) -> Effect:
        """What a crossed design says, `table.spread` or `table.share`; six schedules and six initialisations do."""
        p, n = table.p(), min(table.y_SI.shape)
        return cls(*read(0.95), *read(0.90)[1:], p, p, n, needed=6)

    @classmethod
    def of(cls, values: pd.Series[float], bound: float = 0.0) -> Effect:
        """The effect of values by unit, tested against `bound`."""
        x = values.to_numpy(np.float64)
        value, low, high = statistics.t_interval(x)
        _, least, most = statistics.t_interval(x, 0.90)
        p, p_t = statistics.sign_flip(x - bound), statistics.t_test(x - bound)
        spread = float(x.std(ddof=1)) if len(x) > 1 else float("nan")
        return cls(value, low, high, least, most, p, p_t, len(x), spread=spread, values=tuple(x.tolist()))


@dataclass(frozen=True)
class Criterion:
    """Something that must hold: the effect lies above, or below, the bound. Several must all hold.

    refutes: whether it alone can refute the claim where it fails.
    """

    text: str
    unit: str
    bound: float
    direction: Direction
    effect: Effect
    refutes: bool = True

    @classmethod
    def above(cls, bound: float, values: pd.Series[float], text: str, unit: str) -> Criterion:
        """Values by unit that must be greater."""
        return cls(text, unit, bound, "above", Effect.of(values, bound))

    @classmethod
    def below(cls, bound: float, values: pd.Series[float], text: str, unit: str) -> Criterion:
        """Values by unit that must be smaller."""
        return cls(text, unit, bound, "below", Effect.of(values, bound))

    @property
    def p(self) -> float:
        """Of the sign flips; 1 on the other side of the bound: what fails clearly must not help others to pass."""
        return self.effect.p if self._on_its_side else 1.0

    @property
    def p_t(self) -> float:
        """The same of Student's test."""
        return self.effect.p_t if self._on_its_side else 1.0

    @property
    def _on_its_side(self) -> bool:
        return self.effect.value > self.bound if self.direction == "above" else self.effect.value < self.bound

    @property
    def holds(self) -> bool:
        """The 95 % interval lies beyond the bound."""
        return self.effect.low > self.bound if self.direction == "above" else self.effect.high < self.bound

    @property
    def fails(self) -> bool:
        """The 90 % interval lies short of the bound: within ±SESOI, or on the other side altogether."""
        return self.effect.most < self.bound if self.direction == "above" else self.effect.least > self.bound
