"""Where the course of a run breaks: change points of the loss while training, both axes logarithmic.

On these axes a power law is straight, so what is found are plateaus, falls, tails and jumps between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from resonance.measures.bins import Bin, thinned
from resonance.measures.run import RunData
from resonance.measures.segmentation import LEAST, PRICE, TOLERANCE, Floats, Piece, pieces
from resonance.measures.table import Definition, Row

FOUND = (
    "straight pieces of ln loss against log2 cycle, bins of loss_online, that make sum of (residual / noise)^2 + "
    f"{PRICE:g} ln(bins) x (pieces - 1) least; {LEAST} bins or more each, noise at least {TOLERANCE:g}"
)
SOURCE = "cycle log; the optimum of PELT, Killick et al. 2012, arXiv 1101.1438"
MEASURES: dict[str, Definition] = {
    "change_points": {"unit": "1", "formula": f"number of breaks between {FOUND}", "source": SOURCE},
    "change_at": {
        "unit": "cycle",
        "formula": "first cycle of the piece after the largest break; low, high: that of the first and the last break",
        "source": SOURCE,
    },
    "change_size": {
        "unit": "nat of ln loss",
        "formula": "the later piece minus the earlier one continued, at the end of the later one, one doubling after "
        "the break at most; of the largest break; low, high: least and greatest of all",
        "source": SOURCE,
    },
}


class Change(NamedTuple):
    """A break: the first cycle after it, and how far off the course then leads within a doubling (nat of ln loss)."""

    cycle: int
    size: float


def measure(run: RunData) -> Iterator[Row]:
    """Rows per direction, at the last cycle; no row where there are too few bins to break."""
    courses: dict[str | None, list[Bin]] = {}
    for line in thinned(run.log, "loss"):
        courses.setdefault(line.direction, []).append(line)
    for direction, bins in courses.items():
        # no logarithm of 0, and none of what diverged
        own = [line for line in bins if 0 < line.mean < float("inf")]
        if len(own) < 2 * LEAST:
            continue
        found = changes([line.cycle for line in own], np.array([line.mean for line in own]))
        last = bins[-1].cycle
        yield Row(last, "change_points", float(len(found)), direction=direction)
        if not found:
            yield Row(last, "change_at", None, direction=direction)
            yield Row(last, "change_size", None, direction=direction)
        else:
            most = max(found, key=lambda change: abs(change.size))
            sizes, places = [change.size for change in found], [change.cycle for change in found]
            yield Row(last, "change_at", float(most.cycle), float(places[0]), float(places[-1]), direction=direction)
            yield Row(last, "change_size", most.size, min(sizes), max(sizes), direction=direction)


def changes(cycles: Sequence[int], loss: Floats) -> list[Change]:
    """The breaks of one course, in order.

    Args:
        cycles: ascending, from 1 [n].
        loss: above 0 [n]; its unit does not matter.
    """
    x, y = np.log2(np.asarray(cycles, np.float64)), np.log(loss)
    return [Change(int(cycles[later.start]), _size(x, one, later)) for one, later in pairwise(pieces(x, y))]


def _size(x: Floats, earlier: Piece, later: Piece) -> float:
    until = float(min(x[later.start] + 1, x[later.stop - 1]))
    return later.at(until) - earlier.at(until)
