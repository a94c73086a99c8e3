"""What a judge sees: the tables of measures, the study, and who plays which role in his claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resonance.claims.claim import Claim, Direction
from resonance.claims.effect import Effect
from resonance.claims.times import compare_times, first_mark
from resonance.claims.verdict import Control, Secondary
from resonance.params import Learner, Params

MANY_PAIRS = 6
"""Pairs from which on the pair is the unit; with fewer, only one pair is spoken of, and its seeds are the units."""

Values: TypeAlias = "pd.Series[Any]"
"""One number per unit."""
Grid: TypeAlias = pd.DataFrame
"""A row per run or unit, a column per cycle."""


class Where(TypedDict, total=False):
    """Which rows of a table are averaged over; what is not named: all that were measured.

    from_layer: layers below are left out; the others are all averaged over, so that none is picked. layer: that one.
    """

    directions: tuple[str, ...]
    conditions: tuple[str, ...]
    from_layer: int
    layer: int


Data = TypeVar("Data", "pd.Series[Any]", pd.DataFrame)


class Missing(Exception):
    """Something that a test needs is not there; the message says what, and what to add."""


class Censored(Missing):
    """A moment that some runs had not reached when they ended."""


class Unidentifiable(Exception):
    """The design cannot tell, whatever was measured; the message says why."""


@dataclass(frozen=True)
class Moment:
    """A point in time: a cycle, `times` x the first cycle with a share of correct tokens, or with neither the end."""

    text: str
    cycle: int | None = None
    share: float | None = None
    times: int = 1


START = Moment("at the start", cycle=0)
END = Moment("at the end")
T50 = Moment("at t50", share=0.50)
T99 = Moment("at t99", share=0.99)
TEN_T99 = Moment("at 10 · t99", share=0.99, times=10)
REACHED = (T50, T99, TEN_T99)


@dataclass(frozen=True)
class Evidence:
    """The tables by family, as `measures.table.read_families` returns them, under one claim.

    A run is named by (pair, seed). Several pairs: from six on, the pair is the unit, and its number is the mean over
    its seeds; with fewer, `pair` (the first, unless another is set) is judged alone, with seeds as units.
    """

    study: Params
    tables: Mapping[str, pd.DataFrame]
    claim: Claim
    pair: str = ""

    @cached_property
    def pairs(self) -> tuple[str, ...]:
        """The pairs that are looked at."""
        many = len(self.study.pairs) >= MANY_PAIRS and not self.pair
        return self.study.pairs if many else (self.pair or self.study.pairs[0],)

    @property
    def unit(self) -> str:
        """What is replicated."""
        return "pair" if len(self.pairs) > 1 else "seed"

    def name(self, role: str) -> str:
        """The learner or schedule that plays a role."""
        told: Mapping[str, str] = self.study.claims.get(self.claim.name, {})
        if role in told:
            return told[role]
        return self.claim.roles[role].name if role in self.claim.roles else ""

    def place(self, role: str) -> tuple[str, str, tuple[int, ...]]:
        """Learner, schedule and seeds of a role; Missing where the study has none of that name, or no such run."""
        of_schedule = role in self.claim.roles and self.claim.roles[role].schedule
        learner = self.name("learner" if of_schedule else role)
        if learner not in self.study.learners:
            raise Missing(self._absent("learner", learner, "learner" if of_schedule else role))
        settings = self.study.learners[learner]
        schedule = self.name(role if of_schedule else "schedule") or self._schedule()
        if schedule not in self.study.schedules:
            raise Missing(self._absent("schedule", schedule, role if of_schedule else "schedule"))
        if settings.schedules and schedule not in settings.schedules:
            raise Missing(f"The learner {learner} is not run on the schedule {schedule}: name it in its `schedules`.")
        return learner, schedule, settings.seeds or self.study.seeds

    def learner(self, role: str) -> Learner:
        """The settings of the learner that plays a role."""
        return self.study.learners[self.place(role)[0]]

    def _schedule(self) -> str:
        """The first schedule of the study on which the learner of the claim is run."""
        subject = self.study.learners.get(self.name("learner"))
        return subject.schedules[0] if subject is not None and subject.schedules else next(iter(self.study.schedules))

    def _absent(self, kind: str, name: str, role: str) -> str:
        key = f"claims.{self.claim.name}.{role}"
        return f"The study has no {kind} {name!r}: add it to params.yaml, or name another one there under {key}."

    def runs(self, role: str) -> list[str]:
        """The runs of a role, as learner/pair/schedule/seed; none where the study has none."""
        try:
            learner, schedule, seeds = self.place(role)
        except Missing:
            return []
        return [f"{learner}/{pair}/{schedule}/{seed}" for pair, seed in product(self.pairs, seeds)]

    def series(self, role: str, measure: str, **where: Unpack[Where]) -> Grid:
        """A measure (`probes.store_share`) over time: one row per run (pair, seed), one column per cycle.

        Raises:
            Missing: the study has no such run, or it was not measured.
        """
        key = (role, measure, *sorted(where.items()))
        if key not in self._grids:
            self._grids[key] = self._read(role, measure, where)
        return self._grids[key]

    @cached_property
    def _grids(self) -> dict[Any, Grid]:
        """What was read once."""
        return {}

    def _read(self, role: str, measure: str, where: Where) -> Grid:
        family, _, name = measure.partition(".")
        learner, schedule, seeds = self.place(role)
        rows = self.tables.get(family)
        if rows is None:
            raise Missing(f"There is no table {family!r}, which holds {measure}.")
        kept = (rows["measure"] == name) & (rows["learner"] == learner) & (rows["schedule"] == schedule)
        kept &= rows["pair"].isin(self.pairs) & rows["seed"].isin(seeds)
        for column, words in (("direction", where.get("directions")), ("condition", where.get("conditions"))):
            if words:
                kept &= rows[column].isin(words)
        if lowest := where.get("from_layer"):
            kept &= rows["layer"] >= lowest
        if "layer" in where:
            kept &= (rows["layer"] == where["layer"]).fillna(False).astype(bool)
        found, runs = rows[kept], [*product(self.pairs, seeds)]
        place = {run: row for row, run in enumerate(runs)}
        row = np.array([place[run] for run in zip(found["pair"], found["seed"], strict=True)], np.intp)
        for pair, seed in (runs[each] for each in range(len(runs)) if each not in row):
            asked = ", ".join([*where.get("conditions", ()), *where.get("directions", ())])
            run = f"{learner}/{pair}/{schedule}/{seed}"
            raise Missing(f"{measure}{f' ({asked})' if asked else ''} was not measured in {run}.")
        return means(row, found, pd.MultiIndex.from_tuples(runs, names=["pair", "seed"]))

    def value(self, role: str, measure: str, at: Moment = END, **where: Unpack[Where]) -> Values:
        """A measure at a moment, one number per unit; Missing also where a single run has none then."""
        grid = self.series(role, measure, **where)
        cycles = self.cycles(role, grid, at)
        column = {cycle: place for place, cycle in enumerate(grid.columns)}
        table = grid.to_numpy(np.float64)
        found = [table[row, column[c]] if c in column else np.nan for row, c in enumerate(cycles)]
        values = pd.Series(found, grid.index, float)
        if values.isna().any():
            raise Missing(f"{measure} has no value {at.text} in {int(values.isna().sum())} of {len(values)} runs.")
        return self.by_unit(values)

    def cycles(self, role: str, grid: Grid, at: Moment) -> list[int]:
        """The cycle that a moment is in each run; Censored where one has not come that far."""
        if at.share is None:
            return [marks(grid)[-1] if at.cycle is None else at.cycle] * len(grid)
        due = self.times(role, at.share) * at.times
        if late := int((due > marks(grid)[-1]).sum()):
            raise Censored(f"not reached in {late} of {len(due)} runs")
        return [min(mark for mark in marks(grid) if mark >= cycle) for cycle in due]

    def times(self, role: str, share: float) -> Values:
        """The first cycle of each run with this share of correct target tokens, mean of its directions; inf: none.

        From the cycle log: marks are too far apart for it.
        """
        recall = self.series(role, "loss.accuracy_online")
        return recall.apply(lambda curve: first_mark(curve, share), axis=1)

    def by_unit(self, runs: Data) -> Data:
        """From runs to units: one row per seed, or where pairs are the units, the mean of a pair's seeds."""
        units: Data = runs.groupby(level=self.unit, sort=False).mean()
        return units

    def control(self, text: str, read: Callable[[], Values], bound: float, direction: Direction = "above") -> Control:
        """A positive control: the mean over units must lie on this side of the bound. Not run: why."""
        try:
            value = float(read().mean())
        except Missing as reason:
            return Control(text, "not run", why=str(reason))
        passed = value >= bound if direction == "above" else value <= bound
        return Control(text, "passed" if passed else "failed", value)

    def secondary(
        self, text: str, read: Callable[..., Values], *given: object, tested: bool = False
    ) -> Iterator[Secondary]:
        """A further number, `read(*given)`; nothing where the study does not have it."""
        try:
            yield Secondary(text, Effect.of(read(*given)), tested)
        except Censored as reason:
            yield Secondary(f"{text}: {reason}", None)
        except Missing:
            return

    def sooner(self, text: str, first: str, second: str, share: float = 0.99) -> Iterator[Secondary]:
        """Whether one role reaches a share of recall before the other, in the units that both have."""
        try:
            arms = [self.by_unit(self.times(role, share)) for role in (first, second)]
        except Missing:
            return
        shared = arms[0].index.intersection(arms[1].index)
        found = compare_times(*(arm.loc[shared].tolist() for arm in arms))
        counts = f"{text}: sooner in {found.earlier}, later in {found.later}, not told apart in {found.ties}"
        yield Secondary(counts, None, p=found.p)

    def over_time(self, text: str, read: Callable[[Moment], Values], tested: bool = False) -> Iterator[Secondary]:
        """The same contrast at t50, t99 and 10 · t99, so that no moment was picked."""
        for moment in REACHED:
            yield from self.secondary(f"{text}, {moment.text}", read, moment, tested=tested)


def means(row: NDArray[np.intp], found: pd.DataFrame, runs: pd.MultiIndex) -> Grid:
    """Mean `value` of the rows found of each run and `cycle`; NaN where there is none. row: the run of each of them."""
    cycles, column = np.unique(found["cycle"].to_numpy(np.int64), return_inverse=True)
    value = found["value"].to_numpy(np.float64)
    known = ~np.isnan(value)
    total, count = np.zeros((2, len(runs), len(cycles)))
    np.add.at(total, (row[known], column[known]), value[known])
    np.add.at(count, (row[known], column[known]), 1)
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return pd.DataFrame(mean, runs, cycles.tolist())


def marks(grid: Grid) -> list[int]:
    """The cycles of a grid."""
    return [int(str(cycle)) for cycle in grid.columns]


def paired(first: Values, second: Values) -> Values:
    """first − second in the units that both arms were planned with; Missing where they share none."""
    shared = first.index.intersection(second.index)
    if shared.empty:
        raise Missing("The two arms have no seed in common.")
    return first.loc[shared] - second.loc[shared]
