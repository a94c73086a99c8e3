"""Whether tokens keep their neighbours and their distances, whatever the coordinates: beside CKA, and between marks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from resonance.measures.calibration import spearman
from resonance.measures.cka import debiased_cka
from resonance.measures.run import RunData
from resonance.measures.sample import evenly, trained
from resonance.measures.table import Definition, Row
from resonance.measures.vectors import Floats, Moment, Tokens

NEAREST = 10
MOST_PAIRED = 300
"""Tokens whose pairs are ranked for `rsa`: 44,850 pairs."""

MEASURES: dict[str, Definition] = {
    "procrustes_distance": {
        "unit": "rad",
        "formula": "arccos of the sum of singular values of X^T Y, X and Y the same tokens at cycle 0 and c, each "
        "centred and of Frobenius norm 1",
        "source": "snapshots, fp64; Williams et al. 2021, arXiv 2110.14739",
    },
    "rsa": {
        "unit": "1",
        "formula": "Spearman correlation, over pairs of tokens, of 1 - cosine at cycle 0 and at cycle c; at most 300 "
        "tokens, evenly spaced",
        "source": "snapshots, fp64; Kriegeskorte et al. 2008",
    },
    "mutual_knn": {
        "unit": "share",
        "formula": "share of the 10 nearest tokens by cosine at cycle 0 that are among the 10 nearest at cycle c, mean "
        "over tokens",
        "source": "snapshots, fp64; Huh et al. 2024, arXiv 2405.07987",
    },
    "mutual_knn_null": {
        "unit": "share",
        "formula": "10 / (n - 1): what mutual_knn is on average for n tokens in random order",
        "source": "derived",
    },
    "cka_previous": {
        "unit": "1",
        "formula": "debiased CKA of the same tokens at this mark and at the one before",
        "source": "snapshots, fp64; as cka of the family similarity",
    },
}


def measure(run: RunData) -> Iterator[Row]:
    """Rows per cycle, layer, direction and side (condition), from the second mark on; those with cycle 0 need it."""
    snapshots = run.snapshots
    start: Moment | None = None
    last: Moment | None = None
    for cycle in snapshots.cycles:
        moment = snapshots.at(cycle)
        for layer in snapshots.layers:
            now = moment.layer(layer)
            rows = [] if last is None else list(with_previous(last.layer(layer), now))
            if start is not None:
                rows += with_first(start.layer(layer), now)
            yield from (row._replace(cycle=cycle, layer=layer) for row in rows)
        if cycle == 0:
            start = moment
        last = moment


def with_previous(before: Tokens, now: Tokens) -> Iterator[Row]:
    """CKA with the mark before. Here and below rows leave cycle and layer open."""
    for direction, side, x_ND, y_ND in clouds(before, now):
        yield Row(0, "cka_previous", debiased_cka(x_ND, y_ND), direction=direction, condition=side)


def with_first(start: Tokens, now: Tokens) -> Iterator[Row]:
    """How far shape, distances and neighbours are from those of cycle 0."""
    for direction, side, x_ND, y_ND in clouds(start, now):
        few = evenly(np.arange(len(x_ND)), MOST_PAIRED)
        values = {
            "procrustes_distance": procrustes_distance(x_ND, y_ND),
            "rsa": rsa(x_ND[few], y_ND[few]),
            "mutual_knn": mutual_knn(x_ND, y_ND),
            "mutual_knn_null": NEAREST / (len(x_ND) - 1),
        }
        for name, value in values.items():
            yield Row(0, name, value, direction=direction, condition=side)


def clouds(before: Tokens, now: Tokens) -> Iterator[tuple[str, str, Floats, Floats]]:
    """Direction, side and vectors [n, D] of the same tokens at two marks; texts with too few neighbours drop out."""
    if not before.same_places(now):
        raise ValueError("two marks hold vectors of different places")
    for direction, side, places in trained(before):
        if len(places) > NEAREST + 1:
            yield direction, side, before.vectors[places], now.vectors[places]


def procrustes_distance(x_ND: Floats, y_ND: Floats) -> float:
    """arccos ||X^T Y||_*, both centred and of Frobenius norm 1: the angle (rad) that no rotation can make smaller.

    From 0 (the same up to rotation, mirroring, isotropic scale and shift) to pi/2; NaN where one of them does not vary.
    """
    x, y = x_ND - x_ND.mean(axis=0), y_ND - y_ND.mean(axis=0)
    sizes = np.linalg.norm(x), np.linalg.norm(y)
    if sizes[0] <= 1e-12 * np.linalg.norm(x_ND) or sizes[1] <= 1e-12 * np.linalg.norm(y_ND):
        return float("nan")
    nuclear = np.linalg.svd((x / sizes[0]).T @ (y / sizes[1]), compute_uv=False).sum()
    return float(np.arccos(min(1.0, nuclear)))


def rsa(x_ND: Floats, y_ND: Floats) -> float:
    """Spearman correlation of the cosine dissimilarities of all pairs of tokens; NaN where either is constant."""
    pairs = np.triu_indices(len(x_ND), 1)
    # Dissimilarities are 1 - cosine; the signs of two rankings turned round cancel.
    return spearman(*(cosines(vectors)[pairs] for vectors in (x_ND, y_ND)))


def mutual_knn(x_ND: Floats, y_ND: Floats, k: int = NEAREST) -> float:
    """Mean over tokens of |N_X ∩ N_Y| / k, N the k nearest others by cosine; of equally near ones the earlier."""
    if len(x_ND) <= k:
        raise ValueError(f"{len(x_ND)} tokens: {k} neighbours need more")
    near_x, near_y = nearest(x_ND, k), nearest(y_ND, k)
    shared = (near_x[:, :, None] == near_y[:, None, :]).any(axis=2)
    return float(shared.mean())


def nearest(x_ND: Floats, k: int) -> NDArray[np.intp]:
    """Places [n, k] of the k nearest others of each vector by cosine.

    Cosines are rounded to 12 digits before they are ordered: tokens of one type have the same vector in layer 0, and
    which of them is nearer must not be decided by rounding, differently at each mark.
    """
    cosine_NN = np.round(cosines(x_ND), 12)
    np.fill_diagonal(cosine_NN, -np.inf)
    order: NDArray[np.intp] = np.argsort(-cosine_NN, axis=1, kind="stable")[:, :k]
    return order


def cosines(x_ND: Floats) -> Floats:
    """Cosines [n, n] of all pairs; 0 with a vector that is 0."""
    norm = np.linalg.norm(x_ND, axis=1, keepdims=True)
    unit = x_ND / np.where(norm > 0, norm, 1.0)
    product: Floats = unit @ unit.T
    return product
