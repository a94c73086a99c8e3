"""The cycle log: every cycle up to 4,096, then 512 bins per doubling, the same bins however a run is cut."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from resonance.params import DIRECTIONS

DENSE = 4096
"""Up to this cycle every cycle has its own row."""
PER_DOUBLING = 512


def bin_end(cycle: int) -> int:
    """The last cycle of the bin that holds `cycle` (from 1): fixed by the absolute cycle alone."""
    if cycle <= DENSE:
        return cycle
    doubling = 1 << ((cycle - 1).bit_length() - 1)  # doubling < cycle <= 2 * doubling
    width = doubling // PER_DOUBLING
    return doubling + -(-(cycle - doubling) // width) * width


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
            if direction in self.open:
                visits, total, low, high, _ = self.open[direction]
                rows = [visits + 1, total + value, np.fmin(low, value), np.fmax(high, value), value]
            else:
                rows = [np.ones_like(value), value, value, value, value]
            self.open[direction] = np.stack(rows)
        if cycle == bin_end(cycle):
            closed = sorted(self.open.items(), key=lambda item: DIRECTIONS.index(item[0]))
            for direction, bin_5Q in closed:
                bin_5Q[1] /= bin_5Q[0]
                self.rows.append((cycle, direction, bin_5Q))
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
