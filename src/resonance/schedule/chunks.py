"""Where a run is cut into jobs, and at which cycles a learner is kept.

Both grids are made of absolute cycles only: a longer study has the cuts and the snapshots of a shorter one, and more.
A number on a grid says how many cycles are finished there: at c, cycle c is the last one done, and at 0 none is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIGITS = 12
"""Enough for a million million cycles; names of equal length sort as their numbers do."""


def edges(cycles: int, first: int, longest: int) -> list[int]:
    """The ends of the chunks: first, 2 × first, 4 × first, ... then steps of `longest`; the last one is `cycles`.

    A chunk between neighbouring ends start and stop holds cycles start + 1 ... stop; the first one's start is 0.
    A chunk after the first is as long as all before it together (the cuts double) until that would exceed `longest`.
    Two studies that share `first` and `longest` share all cuts below the shorter one's end.

    Raises:
        ValueError: where one of the three is below 1.
    """
    if min(cycles, first, longest) < 1:
        raise ValueError(f"cycles {cycles}, first {first} and longest {longest} must be at least 1")
    cuts: list[int] = []
    cut = 0
    while cut < cycles:
        cut = min(cycles, cut + min(cut or first, longest))
        cuts.append(cut)
    return cuts


def name(cycle: int) -> str:
    """The cycle as 12 digits, for names of files and keys of marks."""
    return f"{cycle:0{DIGITS}d}"


def snapshot_cycles(cycles: int, per_doubling: int) -> list[int]:
    """All snapshots of a run of `cycles`: 0, before cycle 1, and the log-spaced ones up to `cycles`."""
    return [int(cycle) for cycle in snapshots_between(0, cycles, per_doubling)]


def snapshots_between(start: int, stop: int, per_doubling: int) -> NDArray[np.int64]:
    """The numbers of the cycles after which the learner is kept, of cycles start + 1 ... stop; ascending.

    They are the distinct values of round(2^(k / per_doubling)), k = 0, 1, 2, ...; where `start` is 0, there is also 0,
    before cycle 1. So neighbouring chunks share none, and their snapshots together are those of the whole.

    Raises:
        ValueError: where `start` is below 0, `stop` below `start`, or `per_doubling` below 1.
    """
    if not 0 <= start <= stop or per_doubling < 1:
        raise ValueError(f"no snapshots after {start} and up to {stop} cycles, at {per_doubling} per doubling")
    lowest = (max(start, 1).bit_length() - 1) * per_doubling
    highest = stop.bit_length() * per_doubling
    grid = {_rounded_power(k, per_doubling) for k in range(lowest, highest + 1)} | {0}
    kept = sorted(cycle for cycle in grid if start < cycle <= stop or cycle == start == 0)
    return np.array(kept, dtype=np.int64)


def _rounded_power(k: int, per_doubling: int) -> int:
    """round(2^(k / per_doubling)), exactly: by whole numbers, as the last bit of a float power depends on the machine.

    n is right where n − ½ < 2^(k/p) < n + ½, that is (2n − 1)^p < 2^(k+p) < (2n + 1)^p.
    """
    scaled = 2 ** (k + per_doubling)
    n: int = round(2 ** (k / per_doubling))
    while (2 * n + 1) ** per_doubling < scaled:
        n += 1
    while (2 * n - 1) ** per_doubling > scaled:
        n -= 1
    return n
