"""The cycle log: every cycle up to 4,096, then 512 bins per doubling, the same bins however a run is cut."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resonance.params import DIRECTIONS

DENSE = 4096
"""Up to this cycle every cycle has its own row."""
PER_DOUBLING = 512


def bin_width(cycle: int) -> int:
    """How many cycles the bin that holds `cycle` (from 1) has: fixed by the absolute cycle alone."""
    if cycle <= DENSE:
        return 1
    doubling = 1 << ((cycle - 1).bit_length() - 1)  # doubling < cycle <= 2 * doubling
    return doubling // PER_DOUBLING


def bin_end(cycle: int) -> int:
    """The last cycle of the bin that holds `cycle`: a multiple of its width."""
    width = bin_width(cycle)
    return -(-cycle // width) * width


class Visits(NamedTuple):
    """All visits of one direction in a period: the cycle of each (from 0), and its values, float64 [visits, Q]."""

    cycle_N: NDArray[np.intp]
    value_NQ: NDArray[np.float64]


@dataclass(frozen=True)
class Repeated:
    """What is measured in every cycle after cycle `start`, known from one period: cycle start + 1 + k is like row k.

    names: Q quantities. words: the directions of each cycle of the period. rows: float64 [period, slots, Q].
    """

    start: int
    names: list[str]
    words: list[tuple[str, ...]]
    rows: NDArray[np.float64]

    def cycle(self, cycle: int) -> tuple[list[str], list[str], NDArray[np.float64]]:
        """Directions, names and values [slots, Q] of one cycle, as `Log.add` takes them."""
        place = (cycle - self.start - 1) % len(self.words)
        return list(self.words[place]), self.names, self.rows[place]

    @cached_property
    def visits(self) -> dict[str, Visits]:
        """The period, direction by direction."""
        words_PS = np.array(self.words)
        shown = {direction: np.nonzero(words_PS == direction) for direction in DIRECTIONS}
        return {direction: Visits(at[0], self.rows[at]) for direction, at in shown.items() if len(at[0])}

    def between(self, left: int, right: int) -> dict[str, NDArray[np.float64]]:
        """Cycles left + 1 ... right, however many, as [visits, sum, min, max, last] x Q by direction.

        They are a part of a period, then whole ones: the sum is that of the part and, times their number, of a whole.
        """
        period = len(self.words)
        whole, rest = divmod(right - left, period)
        found = {}
        for direction, (cycle_N, value_NQ) in self.visits.items():
            order_N = (cycle_N - (left - self.start)) % period
            part_NQ = value_NQ[order_N < rest]
            some_NQ = value_NQ if whole else part_NQ
            if len(some_NQ):
                count = whole * len(value_NQ) + len(part_NQ)
                total_Q = part_NQ.sum(0) + (whole * value_NQ.sum(0) if whole else 0)
                recent_N = (order_N - rest) % period
                last_Q = value_NQ[np.flatnonzero(recent_N == recent_N.max())[-1]]
                low_Q, high_Q = np.fmin.reduce(some_NQ), np.fmax.reduce(some_NQ)
                found[direction] = np.stack([np.full_like(total_Q, count), total_Q, low_Q, high_Q, last_Q])
        return found


class Log:
    """Closed rows [visits, mean, min, max, last] × quantities, and for every direction the open bin (sum for mean)."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.rows: list[tuple[int, str, np.ndarray]] = []
        self.open: dict[str, np.ndarray] = {}

    def add(self, cycle: int, directions: list[str], names: list[str], values: np.ndarray) -> None:
        """Add one cycle: `values` is float64 [slots, names]; a direction that stands twice in a cycle counts twice."""
        self.names = names
        for direction, value in zip(directions, values, strict=True):
            self._join(direction, np.stack([np.ones_like(value), value, value, value, value]))
        if cycle == bin_end(cycle):
            self._close(cycle)

    def repeat(self, known: Repeated, start: int, stop: int) -> None:
        """Add cycles start + 1 ... stop, all after `known.start`, by a loop over bins in place of cycles.

        A bin that ends later than `stop` stays as it was at `known.start`; what is known of it is added once, when it
        closes: so the result does not depend on where a run is cut.
        """
        self.names = known.names
        while (end := bin_end(start + 1)) <= stop:
            left = max(end - bin_width(end), known.start)
            if end - left == 1:
                self.add(end, *known.cycle(end))
            else:
                for direction, bin_5Q in known.between(left, end).items():
                    self._join(direction, bin_5Q)
                self._close(end)
            start = end

    def _join(self, direction: str, later_5Q: NDArray[np.float64]) -> None:
        """Add visits that come after those in the open bin."""
        if direction in self.open:
            visits, total, low, high, _ = self.open[direction]
            more, added, lower, higher, last = later_5Q
            rows = [visits + more, total + added, np.fmin(low, lower), np.fmax(high, higher), last]
            later_5Q = np.stack(rows)
        self.open[direction] = later_5Q

    def _close(self, end: int) -> None:
        """Make rows of the open bins."""
        for direction, bin_5Q in sorted(self.open.items(), key=lambda item: DIRECTIONS.index(item[0])):
            bin_5Q[1] /= bin_5Q[0]
            self.rows.append((end, direction, bin_5Q))
        self.open = {}

    def table(self) -> pa.Table:
        """The closed rows: cycle, visits, direction and, for every quantity q, q (mean), q_min, q_max, q_last."""
        bins_R5Q = np.array([row[2] for row in self.rows]).reshape(len(self.rows), 5, len(self.names))
        visits_R = bins_R5Q[:, 0, 0] if self.names else np.empty(0)
        columns = {
            "cycle": pa.array([row[0] for row in self.rows], pa.int64()),
            "visits": pa.array(visits_R, pa.int32(), safe=False),
            "direction": pa.array([row[1] for row in self.rows], pa.string()).dictionary_encode(),
        }
        for index, name in enumerate(self.names):
            for place, suffix in enumerate(("", "_min", "_max", "_last"), start=1):
                columns[name + suffix] = pa.array(bins_R5Q[:, place, index], from_pandas=True)  # not a number: null
        return pa.table(columns)

    def restore(self, table: pa.Table) -> None:
        """Take the rows of an earlier `table()` back; the open bins travel with the state."""
        self.names = [name.removesuffix("_last") for name in table.column_names if name.endswith("_last")]
        suffixes = ("", "_min", "_max", "_last")
        values_Q4R = np.array([[table[name + suffix] for suffix in suffixes] for name in self.names], np.float64)
        visits_R = np.array(table["visits"], np.float64)
        places = zip(table["cycle"].to_pylist(), table["direction"].to_pylist(), strict=True)
        for row, (cycle, direction) in enumerate(places):
            visits_Q = np.full(len(self.names), visits_R[row])
            self.rows.append((cycle, direction, np.stack([visits_Q, *values_Q4R[:, :, row].T])))
