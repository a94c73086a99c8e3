"""The cycle log, thinned: fewer bins, with the same edges for every run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PER_DOUBLING = 32


def bin_ends(cycles: NDArray[np.int64]) -> NDArray[np.int64]:
    """The last cycle of the bin of each cycle (from 1): every cycle up to 64, then 32 bins per doubling."""
    _, exponents = np.frexp(cycles - 1.0)
    doubling = np.where(cycles > 1, 1 << np.maximum(exponents.astype(np.int64) - 1, 0), 0)
    width = np.maximum(doubling // PER_DOUBLING, 1)
    return doubling + -(-(cycles - doubling) // width) * width


def thinned(log: pd.DataFrame, quantity: str, by: Sequence[str] = ("direction",)) -> pd.DataFrame:
    """Mean, least and greatest value of a quantity of the log per bin.

    Args:
        log: rows of the cycle log; where `quantity` is missing or null, a row is left out.
        by: columns that are kept apart.

    Returns:
        `cycle` (the last one of the bin that the log holds), the columns of `by`, `mean` (weighted by visits), `low`,
        `high`.
    """
    if quantity not in log:
        return pd.DataFrame(columns=["cycle", *by, "mean", "low", "high"])
    rows = log[log[quantity].notna()]
    weight = rows["visits" if "visits" in rows else "cycles"].to_numpy(np.float64)
    prepared = pd.DataFrame(
        {
            "bin": bin_ends(rows["cycle"].to_numpy(np.int64)),
            **{column: rows[column].astype(str).to_numpy() for column in by},
            "cycle": rows["cycle"].to_numpy(),
            "weight": weight,
            "total": weight * rows[quantity].to_numpy(),
            "low": rows[f"{quantity}_min"].to_numpy(),
            "high": rows[f"{quantity}_max"].to_numpy(),
        }
    )
    sums = {"cycle": "max", "weight": "sum", "total": "sum", "low": "min", "high": "max"}
    bins = prepared.groupby(["bin", *by], as_index=False).agg(sums)
    bins["mean"] = bins["total"] / bins["weight"]
    # A bin has one cycle for all directions, so that averages over directions compare like with like.
    bins["cycle"] = bins.groupby("bin")["cycle"].transform("max")
    return bins[["cycle", *by, "mean", "low", "high"]]
