"""No judge supports more than one in twenty claims of tables in which the effect is only just what it must exceed.

The effect is planted *at* the smallest one of interest, the hardest of all tables in which a claim is not true: 200
studies of seven seeds each, planted together and cut apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Unpack

import numpy as np
import pandas as pd
import pytest
from claims.planted import planted, study

from resonance.claims import NAMES
from resonance.claims.effect import Effect
from resonance.claims.evidence import Evidence, Grid, Where
from resonance.claims.judge import load_claim
from resonance.claims.verdict import Ruling, decide

SEEDS, RESAMPLES = 7, 200
TOGETHER = {"chokes", "permutations"}
"""Claims in which the number of one seed depends on the other seeds: the judge is called for each study."""


@dataclass(frozen=True)
class Part(Evidence):
    """One of the studies; read: what was read of all of them."""

    number: int = 0
    read: dict[Any, Grid] = field(default_factory=dict)

    def series(self, role: str, measure: str, **where: Unpack[Where]) -> Grid:
        key = (role, measure, *sorted(where.items()))
        if key not in self.read:
            self.read[key] = super().series(role, measure, **where)
        return self.read[key].iloc[self.number * SEEDS : (self.number + 1) * SEEDS]


def rulings(name: str) -> Iterator[Ruling]:
    """What the judge finds in each study."""
    case = load_claim(name)
    whole = study(SEEDS * RESAMPLES)
    tables = planted(name, case.CLAIM.sesoi, SEEDS * RESAMPLES, draws=1 + NAMES.index(name))
    if name in TOGETHER:
        read: dict[Any, Grid] = {}
        yield from (case.judge(Part(whole, tables, case.CLAIM, number=n, read=read)) for n in range(RESAMPLES))
        return
    ruling = case.judge(Evidence(whole, tables, case.CLAIM))
    for first in range(0, SEEDS * RESAMPLES, SEEDS):
        cut = [each.effect.values[first : first + SEEDS] for each in ruling.criteria]
        effects = [Effect.of(pd.Series(x), each.bound) for x, each in zip(cut, ruling.criteria, strict=True)]
        criteria = [replace(each, effect=effect) for each, effect in zip(ruling.criteria, effects, strict=True)]
        yield replace(ruling, criteria=tuple(criteria))


@cache
def words(name: str) -> list[str]:
    """The verdicts of the 200 studies, before claims are corrected for each other."""
    primary = load_claim(name).CLAIM.primary
    return [decide(ruling, ruling.p if primary else ruling.p_t, primary)[0] for ruling in rulings(name)]


@pytest.mark.parametrize("name", NAMES)
def test_at_most_one_in_twenty_is_supported_wrongly(name: str) -> None:
    assert len(words(name)) == RESAMPLES
    assert words(name).count("supported") <= RESAMPLES * 0.05


def test_at_most_one_in_twenty_is_refuted_wrongly() -> None:
    """Over all claims: at the smallest effect of interest a claim is as good as true."""
    assert np.mean([word == "refuted" for name in NAMES for word in words(name)]) <= 0.06
