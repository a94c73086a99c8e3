"""How good estimates are: of whether something is wrong (a probability), and of how far something is (a number).

Pure functions of numpy arrays: n estimates p in [0, 1] or numbers v, and what was true of them, e (bool) or d.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Truths = NDArray[np.bool_]

NARROWEST = 1e-7
"""Estimates nearer than this to 0 or 1 count as this near where a logarithm is taken; float32 knows no nearer to 1."""

STEPS = 100
"""Newton steps within which the slope of a logistic regression must be found."""


def auroc(score: Numbers, e: Truths) -> float:
    """Probability that something wrong has a higher score than something right, ties counting half."""
    wrong = e.sum()
    return float((ranks(score)[e].sum() - wrong * (wrong + 1) / 2) / (wrong * (len(e) - wrong)))


def ranks(values: Numbers) -> Numbers:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    shared: Numbers = (np.cumsum(count) - (count - 1) / 2)[place]
    return shared


def brier(p: Numbers, e: Truths) -> float:
    """Mean of (p - e)²."""
    return float(np.square(p - e).mean())


def log_loss(p: Numbers, e: Truths) -> float:
    """Mean of -log of the probability given to what was true, in nats."""
    clipped = np.clip(p, NARROWEST, 1 - NARROWEST)
    return float(-np.log(np.where(e, clipped, 1 - clipped)).mean())


def ece_width(p: Numbers, e: Truths, bins: int = 15) -> float:
    """Mean over all of |mean p - share wrong| in their bin, bins of equal width: (0, 1/15], ...; 0 is in the first."""
    number = np.clip(np.ceil(p * bins) - 1, 0, bins - 1).astype(np.int64)
    return sum(_gap(p[number == each], e[number == each]) for each in range(bins)) / len(p)


def ece_mass(p: Numbers, e: Truths, bins: int = 15) -> float:
    """The same with bins that hold as many each, or one more: ordered by p, equal ones as they come."""
    order = np.argsort(p, kind="stable")
    return sum(_gap(p[part], e[part]) for part in np.array_split(order, bins)) / len(p)


def _gap(p: Numbers, e: Truths) -> float:
    return abs(float(p.sum() - e.sum()))


def slope(p: Numbers, e: Truths) -> float:
    """b of the logistic regression P(e) = sigmoid(a + b logit p): 1 is right, below 1 too sure.

    NaN where there is none: where all p are equal, and where a threshold on p parts right from wrong. By Newton's
    method, each step halved until it does not lead uphill.
    """
    clipped = np.clip(p, NARROWEST, 1 - NARROWEST)
    x = np.stack([np.ones(len(p)), np.log(clipped / (1 - clipped))], axis=1)
    spread = x[:, 1].std()
    if spread == 0 or parted(p, e):
        return float("nan")
    x[:, 1] = (x[:, 1] - x[:, 1].mean()) / spread

    def loss(weights: Numbers) -> float:
        return float((np.logaddexp(0, x @ weights) - e * (x @ weights)).sum())

    found = np.zeros(2)
    for _ in range(STEPS):
        chance = np.exp(-np.logaddexp(0, -x @ found))
        step = np.linalg.solve((x * (chance * (1 - chance))[:, None]).T @ x, x.T @ (e - chance))
        if np.abs(step).max() < 1e-9:
            return float(found[1] / spread)
        while loss(found + step) > loss(found) and np.abs(step).max() >= 1e-9:
            step = step / 2
        found = found + step
    return float("nan")


def parted(p: Numbers, e: Truths) -> bool:
    """Whether a threshold on p parts right from wrong, either way round."""
    if e.all() or not e.any():
        return True
    right, wrong = p[~e], p[e]
    return bool(right.max() <= wrong.min() or wrong.max() <= right.min())


def spearman(v: Numbers, d: Numbers) -> float:
    """Correlation of the ranks; NaN where either is the same everywhere."""
    return correlation(ranks(v), ranks(d))


def correlation(v: Numbers, d: Numbers) -> float:
    """Pearson's; NaN where either is the same everywhere."""
    v, d = v - v.mean(), d - d.mean()
    size = np.sqrt(np.square(v).sum() * np.square(d).sum())
    return float(v @ d / size) if size > 0 else float("nan")


def r2(v: Numbers, d: Numbers) -> float:
    """1 - Σ (v - d)² / Σ (d - mean)²: 0 says no better than the mean; NaN where d is the same everywhere."""
    spread = np.square(d - d.mean()).sum()
    return float(1 - np.square(v - d).sum() / spread) if spread > 0 else float("nan")
