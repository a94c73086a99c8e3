"""Where a noisy course breaks: the best division into straight pieces, at a price for each piece.

The optimum is that of PELT (Killick, Fearnhead and Eckley 2012, arXiv 1101.1438). Courses have some hundred points,
so it is found by optimal partitioning (Jackson et al. 2005), which PELT prunes: all divisions are weighed, none is left
out, and no pruning can be wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST = 6
"""Points of a piece: fewer than that, a straight line fits what is only noise."""
PRICE = 4.0
"""Of a further piece, times ln n. BIC counts 3 numbers per piece (level, slope, place); one more is for the search."""
TOLERANCE = 0.1
"""Deviation from a straight line, in units of y, that is never worth a piece however quiet the course is: no course is
exactly straight."""
WINDOW = 64
"""Points around each that say how much noise there is."""
CLIP = 3.0
"""Standard deviations from the running median beyond which a single point is an outlier (Hampel's identifier)."""


class Piece(NamedTuple):
    """Points start ... stop − 1, and the line level + slope · x that fits them best."""

    start: int
    stop: int
    level: float
    slope: float

    def at(self, x: float) -> float:
        """Where the line is."""
        return self.level + self.slope * x


def pieces(x: Floats, y: Floats) -> list[Piece]:
    """The straight pieces of a course, in order; one where it does not break.

    Of all divisions into pieces of `LEAST` points or more, that with the least
    Σ (residual / noise)² + PRICE · ln n · (number of pieces − 1).

    Args:
        x: ascending [n].
        y: finite [n]. Moving or turning the course (y + a + b x) changes nothing; scaling it (y · a) changes what
            counts as `TOLERANCE`.
    """
    if len(x) < 2 * LEAST:
        return [_fitted(x, y, np.ones(len(x)), 0, len(x))]
    y = without_outliers(y)
    weight = 1 / noise(x, y) ** 2
    ends = best_ends(x, y, weight, PRICE * float(np.log(len(x))))
    return [_fitted(x, y, weight, start, stop) for start, stop in zip([0, *ends], [*ends, len(x)], strict=True)]


def best_ends(x: Floats, y: Floats, weight: Floats, price: float, least: int = LEAST) -> list[int]:
    """Where the pieces of the best division end, but for the last: indices of the first point of each next piece."""
    n = len(x)
    sums = _sums(x, y, weight)
    # between[stop, start]: all at once, some 25 MB for the longest course; what is too short to be a piece is not asked
    with np.errstate(divide="ignore", invalid="ignore"):
        between = _residuals(sums[:, None] - sums)
    # best[t]: the least cost of points 0 ... t − 1, with a price for each piece
    best = np.full(n + 1, np.inf)
    best[0], last = -price, np.zeros(n + 1, np.int64)
    for stop in range(least, n + 1):
        costs = best[: stop - least + 1] + between[stop, : stop - least + 1] + price
        last[stop] = int(costs.argmin())
        best[stop] = costs[last[stop]]
    ends, stop = [], int(last[n])
    while stop:
        ends.append(stop)
        stop = int(last[stop])
    return ends[::-1]


def noise(x: Floats, y: Floats) -> Floats:
    """Standard deviation of each point around a straight course [n], at least `TOLERANCE`.

    From second differences: y_i minus the line through its two neighbours, over the root of what that does to the
    variance of independent noise; root mean square over `WINDOW` points, fewer at the ends. A jump counts as noise in
    two of them, so it can only be missed by it.
    """
    share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    apart = y[1:-1] - (1 - share) * y[:-2] - share * y[2:]
    squares = apart**2 / (1 + share**2 + (1 - share) ** 2)
    total = np.concatenate([[0.0], np.cumsum(squares)])
    # the window slides as far as there are points
    width = min(WINDOW, len(squares))
    first = np.clip(np.arange(len(x)) - 1 - width // 2, 0, len(squares) - width)
    return np.sqrt(np.maximum((total[first + width] - total[first]) / width, TOLERANCE**2))


def without_outliers(y: Floats) -> Floats:
    """The course with single points brought to within `CLIP` deviations of the median of the five around them.

    Steps stay where they are, to the point: of five points around one beside a step, three stand on its side. The first
    two and last two points are left as they are.
    """
    middle = np.median(np.lib.stride_tricks.sliding_window_view(y, 5), axis=1)
    inner = y[2:-2]
    room = CLIP * 1.4826 * float(np.median(np.abs(inner - middle))) + TOLERANCE
    clipped: Floats = np.concatenate([y[:2], np.clip(inner, middle - room, middle + room), y[-2:]])
    return clipped


def _sums(x: Floats, y: Floats, weight: Floats) -> Floats:
    """Running sums of w, wx, wy, wxx, wxy, wyy [n + 1, 6]; of the centred course, to keep their digits."""
    x, y = x - x.mean(), y - y.mean()
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1) * weight[:, None]
    return np.concatenate([np.zeros((1, 6)), np.cumsum(terms, axis=0)])


def _residuals(sums: Floats) -> Floats:
    """Weighted sum of squared residuals around the best line, of pieces with these sums [..., 6]."""
    w, x, y, xx, xy, yy = np.moveaxis(sums, -1, 0)
    spread, shared, whole = xx - x * x / w, xy - x * y / w, yy - y * y / w
    return np.maximum(whole - shared**2 / spread, 0.0)


def _fitted(x: Floats, y: Floats, weight: Floats, start: int, stop: int) -> Piece:
    x, y, weight = x[start:stop], y[start:stop], weight[start:stop]
    if not len(x):
        return Piece(start, stop, float("nan"), float("nan"))
    middle, level = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = float(np.sum(weight * (x - middle) ** 2))
    slope = float(np.sum(weight * (x - middle) * (y - level))) / spread if spread else 0.0
    return Piece(start, stop, float(level - slope * middle), slope)
