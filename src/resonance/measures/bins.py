"""The cycle log, thinned: fewer bins, with the same edges for every run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PER_DOUBLING = 32


def bin_ends(cycles: NDArray[np.int64]) -> NDArray[np.int64]:
    """The last cycle of the bin of each cycle (from 1): every cycle up to 64, then 32 bins per doubling."""
    _, exponents = np.frexp(cycles - 1.0)
    doubling = np.where(cycles > 1, 1 << np.maximum(exponents.astype(np.int64) - 1, 0), 0)
    width = np.maximum(doubling // PER_DOUBLING, 1)
    ends: NDArray[np.int64] = doubling + -(-(cycles - doubling) // width) * width
    return ends


class Bin(NamedTuple):
    """Mean (weighted by visits), least and greatest value; cycle: the last one of the bin that the log holds."""

    cycle: int
    direction: str | None
    mean: float
    low: float
    high: float


def thinned(log: pd.DataFrame, quantity: str, by_direction: bool = True) -> Iterator[Bin]:
    """The bins of a quantity of the cycle log, rows without it left out; over all directions together if wanted."""
    if quantity not in log:
        return
    rows = log[log[quantity].notna()]
    weight = rows["visits" if "visits" in rows else "cycles"].to_numpy(np.float64)
    prepared = pd.DataFrame(
        {
            "bin": bin_ends(rows["cycle"].to_numpy(np.int64)),
            "direction": rows["direction"].astype(str).to_numpy() if by_direction else "",
            "cycle": rows["cycle"].to_numpy(np.int64),
            "weight": weight,
            "total": weight * rows[quantity].to_numpy(np.float64),
            "low": rows[f"{quantity}_min"].to_numpy(np.float64),
            "high": rows[f"{quantity}_max"].to_numpy(np.float64),
        }
    )
    # A bin has one last cycle for all directions, so that a mean over directions compares like with like.
    prepared["cycle"] = prepared.groupby("bin")["cycle"].transform("max")
    sums = {"cycle": "max", "weight": "sum", "total": "sum", "low": "min", "high": "max"}
    bins = prepared.groupby(["bin", "direction"], as_index=False).agg(sums)
    means = bins["total"] / bins["weight"]
    columns = (bins["cycle"], bins["direction"], means, bins["low"], bins["high"])
    for cycle, direction, *values in zip(*(column.tolist() for column in columns), strict=True):
        yield Bin(cycle, direction or None, *values)
